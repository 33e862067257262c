"""Durable topics on a real JetStream server."""

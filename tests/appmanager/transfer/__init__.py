"""Files through a real JetStream server."""

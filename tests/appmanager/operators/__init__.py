"""Signed commands."""

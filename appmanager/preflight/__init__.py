"""Tries a bundle in a short-lived process with limits: its import, its contract, its configuration."""

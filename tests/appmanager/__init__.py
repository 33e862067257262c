"""Tests of appmanager."""

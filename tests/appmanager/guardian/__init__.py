"""Tests of appmanager/guardian."""

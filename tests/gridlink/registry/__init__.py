"""Tests of gridlink/registry."""

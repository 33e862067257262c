"""Tests of gridlink/module."""

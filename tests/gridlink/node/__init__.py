"""Tests of gridlink/node."""

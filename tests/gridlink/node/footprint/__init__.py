"""Tests of gridlink/node/footprint."""

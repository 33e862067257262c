"""Tests of gridlink/bus."""

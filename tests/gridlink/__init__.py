"""Tests of gridlink."""

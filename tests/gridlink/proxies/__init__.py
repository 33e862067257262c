"""Tests of gridlink/proxies."""

"""Tests of the parts of the series table."""

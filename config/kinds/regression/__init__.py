"""Regression: numbers that a text has in several named dimensions."""

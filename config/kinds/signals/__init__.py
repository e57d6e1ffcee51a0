"""Signals: of each of several categories how strong it is, and what it is about."""

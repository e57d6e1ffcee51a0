"""Candidate and opponent on the same rows."""

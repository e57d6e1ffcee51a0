"""Models that spaCy runs."""

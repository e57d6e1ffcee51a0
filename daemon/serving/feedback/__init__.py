"""Feedback over HTTP, and the log of answers."""

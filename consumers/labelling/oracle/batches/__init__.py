"""Batches of questions: noted before they are sent, found again after a stop."""

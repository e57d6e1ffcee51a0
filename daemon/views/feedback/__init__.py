"""Feedback as it is shown: where it stands, what became of each answer, and which corrections answer."""

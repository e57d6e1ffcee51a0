"""Entities found by a token classifier: how a text is read, what its tags mean, and how they become spans."""

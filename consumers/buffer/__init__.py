"""The buffer: everything that arrived and what was found out about it."""

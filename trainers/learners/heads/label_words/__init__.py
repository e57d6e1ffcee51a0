"""Heads that begin at what the words of labels say."""

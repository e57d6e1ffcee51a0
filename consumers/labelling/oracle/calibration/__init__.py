"""Samples that judge a prompt before it labels anything."""

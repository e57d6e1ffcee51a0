"""Variants of a trained encoder: how each is written, built in a process of its own, and chosen."""

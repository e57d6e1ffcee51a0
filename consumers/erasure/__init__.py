"""Erasure: who asked for it, what belongs to whom, and what is refused ever after."""

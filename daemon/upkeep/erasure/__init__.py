"""Erasure: worked off, also in the folders of runs."""

"""Erasure: asked for, worked off, and done in the folders of runs."""

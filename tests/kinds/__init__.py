"""Kinds of task that Perennial does not ship, each in a folder of its own."""

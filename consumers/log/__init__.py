"""The event log: its protocols, and one package for each implementation."""

"""A published model: its files, how its folder is opened, how it answers."""

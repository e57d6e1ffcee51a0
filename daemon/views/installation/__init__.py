"""The installation as it is shown: what it does, what is wrong, its settings and its keys."""

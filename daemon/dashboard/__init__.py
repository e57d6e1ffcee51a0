"""The web page: what the daemon does and why, from the same read models as commands and HTTP; no query of its own."""

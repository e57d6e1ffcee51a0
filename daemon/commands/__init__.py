"""The commands of `perennial`, one file per group."""

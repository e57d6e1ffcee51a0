"""The long-running process, its command line and its serving child."""

"""The daemon as a process: its threads, signals, children and lease."""

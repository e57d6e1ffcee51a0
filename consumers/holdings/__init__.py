"""What the buffer holds for a task: by label, source, language, time and side, with leaks, shifts and holes."""

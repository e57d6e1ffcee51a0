"""What the buffer holds for a task, and how fit it is to learn from."""

"""What became of a task's labels, and what they mean."""

"""What a buffer has held of a task, and in which order it came: so that it can be played again."""

"""What the rows of the buffer's tables mean, and how each kind comes to be."""

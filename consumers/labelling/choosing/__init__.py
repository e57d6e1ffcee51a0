"""What to label next: a mix of texts that a model chooses and texts drawn at random, each with why it was chosen."""

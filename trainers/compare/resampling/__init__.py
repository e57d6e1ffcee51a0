"""Both models' answers to the same rows, drawn again and again by whole clusters."""

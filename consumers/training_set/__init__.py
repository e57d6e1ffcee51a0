"""From the rows of a task to one frozen set: which count, which train, which judge, and why."""

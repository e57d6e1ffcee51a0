"""`perennial evaluate` and `perennial compare`: models answer the labelled rows of a file."""

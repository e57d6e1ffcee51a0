"""Two models answer the same texts in a child process: a pool without labels, or the labelled rows that decide between them."""

"""A run that several processes tune: how they are started, what those beside the first do, and how the run ended."""

"""Models that answer: loaded, swapped, batched."""

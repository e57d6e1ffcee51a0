"""What a comparison measures: one metric a file, found by name in `catalog`. numpy only."""

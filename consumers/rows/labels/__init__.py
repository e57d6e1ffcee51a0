"""What rows are said to be: renames, corrections, labels withdrawn, answers over time."""

"""One task as it is shown: its state and reasons, its labels, its anchor set, the pair that people are asked about."""

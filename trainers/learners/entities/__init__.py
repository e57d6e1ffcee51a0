"""What learning entities has in common, whatever library the model is of."""

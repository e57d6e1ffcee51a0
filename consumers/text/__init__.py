"""What can be told of one text alone; pure."""

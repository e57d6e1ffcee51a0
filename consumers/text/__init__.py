"""Analysis of single texts; pure."""

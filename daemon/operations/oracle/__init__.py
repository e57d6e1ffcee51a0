"""What `perennial oracle` does."""

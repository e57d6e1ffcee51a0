"""What people read of a version."""

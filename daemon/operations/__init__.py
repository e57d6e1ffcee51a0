"""What keeps an installation in order."""

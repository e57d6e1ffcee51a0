"""Published model folders."""

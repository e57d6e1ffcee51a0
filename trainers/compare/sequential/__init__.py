"""Evidence that may be looked at again and again while labels come in, without finding a lucky candidate in the end."""

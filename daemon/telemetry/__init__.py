"""What monitoring reads of the daemon."""

"""Values that strangers write: one reading of each, wherever one comes in."""

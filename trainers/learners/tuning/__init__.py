"""What tuning a base of any size takes: rates by size and layer, batches within memory, when to stop, several processes."""

"""Background work of the leader: erasure and retention."""

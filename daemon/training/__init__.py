"""From trigger to decision."""

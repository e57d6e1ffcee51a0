"""What feedback must pass before a run learns from it: caps, trust, agreement, an alarm, and a person's decision."""

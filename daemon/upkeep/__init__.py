"""What the leader does beside its runs, so that nothing stays longer than it may: erasing, and what goes with time."""

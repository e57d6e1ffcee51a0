"""When and why a run starts: evidence, triggers, requests."""

"""Commands about runs: start and pause them, see why and with what outcome, and what other policies would have done."""

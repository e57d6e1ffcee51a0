"""Events on their way out, what each channel was sent, and events that were lost unread."""

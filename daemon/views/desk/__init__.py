"""The desk: what a person is asked to label next, and how far a task has come."""

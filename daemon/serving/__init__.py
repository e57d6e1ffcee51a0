"""The process that answers: predictions, feedback, hot reload."""

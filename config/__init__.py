"""Settings, task files, logging and the error types: what every other package may import."""

"""Commands to begin with: a task file, a first champion, and the processes that run."""

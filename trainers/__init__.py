"""From a training set to a scored candidate: tasks, the child process, statistics."""

"""A task's labelled rows, handed on as files or as a data set on the Hub."""

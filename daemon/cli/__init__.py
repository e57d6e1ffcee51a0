"""The command line: the way in and what all commands share; the commands lie in a folder for each thing that a person does."""

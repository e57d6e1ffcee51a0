"""Beside the schema of a task file (`config.tasks`): its sections, rules for imports, changes for one run, filter folders."""

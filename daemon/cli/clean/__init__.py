"""The commands that look at a task's data: what it holds, what rules leave out, which labels are in doubt."""

"""The report of a run: what it was for, how it went, what came out, and what it cost."""

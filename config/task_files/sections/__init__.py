"""The sections of a task file, a file each: when it trains, how it learns, what is promoted, how feedback counts, and more."""

"""What a task can be: one file or folder a kind, and the catalog that finds them. Pure: nothing here reads, stores or learns."""

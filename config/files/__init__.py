"""Files and folders: durable, private, scratch, and small SQLite files that several processes share."""

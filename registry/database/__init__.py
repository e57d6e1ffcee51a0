"""The registry's database: its tables, how it is opened, migrated and copied."""

"""LanceDB tables: columns, handles, upkeep. Knows rows, not what they mean."""

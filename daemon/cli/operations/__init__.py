"""Commands of whoever keeps the installation running: status, history, keys, backups, erasure."""

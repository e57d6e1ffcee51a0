"""What is found out about each text behind ingest."""

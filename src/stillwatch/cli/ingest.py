"""`stillwatch ingest`."""

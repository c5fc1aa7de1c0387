"""`stillwatch explain`."""

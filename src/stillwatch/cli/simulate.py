"""`stillwatch simulate`."""

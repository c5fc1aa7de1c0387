"""`stillwatch scan`."""

"""Scripts that run inside the peers' own environment: a file in, a file out, nothing of Stillwatch imported."""

"""Measure detection on labelled worlds: scorecards, null worlds, evasions, ablations and peers on the same data."""

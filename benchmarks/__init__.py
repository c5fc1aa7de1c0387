"""Benchmarks: measured figures for the documents, never part of the test suite."""

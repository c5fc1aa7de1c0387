"""Peers: what others publish for this problem, run on the same data so that one table compares them (docs/peers.md).

Packages from the index run in an environment of their own, on exported files; methods from papers are written small
here. No peer's code is in this repository.
"""

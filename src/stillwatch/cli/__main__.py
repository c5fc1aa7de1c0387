"""Run the command line as a module."""

from stillwatch.cli import main

main()

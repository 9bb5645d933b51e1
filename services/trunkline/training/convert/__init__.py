"""Data sets written in other formats."""

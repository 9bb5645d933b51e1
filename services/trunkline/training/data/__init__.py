"""Data sets for training: found on disk as they are, read and checked. Knows neither torch nor a runtime."""

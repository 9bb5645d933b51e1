"""Heads: one folder for each task, found by folder. See the README.md of classification for what one holds."""

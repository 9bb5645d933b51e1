"""Databases: SQLite in a file, or PostgreSQL by URL; what jobs and galleries share of it."""

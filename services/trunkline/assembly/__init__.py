"""Puts the services together: all in one process, one role in a process, or all roles as local processes."""

"""Logs go to standard error, one line each."""

import logging
import sys


def set_up_logs(level: str, role: str) -> None:
    """Log at `level` with the role of this process in every line."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format=f"%(asctime)s %(levelname)s {role} %(name)s: %(message)s",
    )

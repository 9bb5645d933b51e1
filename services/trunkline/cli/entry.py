"""The console script: what is wrong with a task.py, of which commands are made, is one line and no traceback."""

import sys

from trunkline.core.errors import ConfigurationError


def program() -> None:
    """`trunkline` as a process of its own. Ends with status 1 where a task.py cannot be used."""
    try:
        from trunkline.cli import main
    except ConfigurationError as error:
        print(f"trunkline: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    main.program()

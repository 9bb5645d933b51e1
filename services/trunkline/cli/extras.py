"""What commands say that need more than serving does."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline.core.errors import ConfigurationError

_CHECKOUT = Path(__file__).parents[3]  # the source checkout, where this is one: services/trunkline/cli/extras.py


def in_checkout(message: str) -> str:
    """A message that says what to install, with the command for a checkout too, where this is one."""
    named = re.search(r"pip install 'trunkline\[([a-z0-9,]+)\]'", message)
    if named is None or not (_CHECKOUT / "pyproject.toml").is_file():
        return message
    return f"{message}; of this checkout: {sys.executable} -m pip install -e '{_CHECKOUT}[{named[1]}]'"


@contextmanager
def extra(what: str, named: str) -> Iterator[None]:
    """Around imports: ConfigurationError, "`what` needs ...", naming the extra, where a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("trunkline"):
            raise
        raise ConfigurationError(
            f"{what} needs {error.name}, which is not installed: pip install 'trunkline[{named}]'"
        ) from error


@contextmanager
def train_extra(what: str) -> Iterator[None]:
    """As `extra`, around imports of trunkline.training."""
    with extra(what, "cpu,train"):
        yield

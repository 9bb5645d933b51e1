"""What commands say that need more than serving does."""

from collections.abc import Iterator
from contextlib import contextmanager

from trunkline.core.errors import ConfigurationError


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

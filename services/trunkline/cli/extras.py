"""What commands say that need more than serving does."""

from collections.abc import Iterator
from contextlib import contextmanager

from trunkline.core.errors import ConfigurationError


@contextmanager
def train_extra(what: str) -> Iterator[None]:
    """Around imports of trunkline.training: ConfigurationError, "`what` needs ...", where a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("trunkline"):
            raise
        raise ConfigurationError(
            f"{what} needs {error.name}, which is not installed: pip install 'trunkline[cpu,train]'"
        ) from error

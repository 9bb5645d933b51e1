"""The error for architectures that do not exist."""

import difflib
from collections.abc import Iterable

from trunkline.core.errors import NotFoundError

_FORMS = "efficientnet-lite0, -lite1, -lite2, timm/NAME or torchvision/NAME"


def unknown_architecture(architecture: str, known: Iterable[str]) -> NotFoundError:
    """NotFoundError that suggests the nearest of the `known` architectures, whatever library they are from."""
    by_name = {full.rpartition("/")[2]: full for full in known}
    near = difflib.get_close_matches(architecture.rpartition("/")[2], by_name, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(by_name[name] for name in near)}?" if near else f"name {_FORMS}"
    return NotFoundError(f"there is no architecture {architecture!r}: {hint}", architecture=architecture)

"""What TRUNKLINE_BACKBONES names."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from trunkline.core.errors import ConfigurationError
from trunkline.core.exchange import BackboneInfo


@dataclass(frozen=True)
class Named:
    """One version of a backbone, or for None all that are needed of a name, and the newest where none is."""

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Named":
        """From NAME or NAME/VERSION. Raises ConfigurationError."""
        name, slash, version = text.partition("/")
        if slash and not (version.isascii() and version.isdecimal()):
            raise ConfigurationError(f"setting TRUNKLINE_BACKBONES: {text!r} is not NAME or NAME/VERSION")
        return cls(name, int(version) if slash else None)

    def has(self, name: str, version: int) -> bool:
        return self.name == name and self.version in (None, version)


def is_kept(
    info: BackboneInfo, names: Iterable[Named], loaded: Iterable[BackboneInfo], needed: Collection[str]
) -> bool:
    """Whether the names keep a backbone that is loaded, though its digest is not among those that are needed."""
    others = any(other.name == info.name and other.digest in needed for other in loaded)
    return any(
        named.has(info.name, int(info.version)) and (named.version is not None or not others) for named in names
    )

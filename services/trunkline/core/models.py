"""What the catalog knows of heads and their versions: plain values, the same from a folder and from a service."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from trunkline.core.bundle import Name
from trunkline.core.evaluation import Evaluation

DEFAULT_MARGIN = 0.01  # by how much a promoted version may be worse than the default
_HISTORY_KEPT = 50
Number = Annotated[int, Field(ge=1)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Canary(_Value):
    """A version that gets a share of the calls that name no version, 0 < share <= 1."""

    version: Number
    share: Annotated[float, Field(gt=0, le=1)]


class HeadCatalog(_Value):
    """The state of one head. history: earlier defaults, the latest last. revision: counts the changes."""

    schema_version: Literal[1] = 1
    revision: Annotated[int, Field(ge=0)] = 0
    default: Number
    history: tuple[Number, ...] = ()
    aliases: Mapping[Name, Number] = {}
    canary: Canary | None = None

    @property
    def previous(self) -> int | None:
        """The default before this one."""
        return self.history[-1] if self.history else None

    @property
    def in_use(self) -> tuple[int, ...]:
        """Versions that calls can reach: default, previous default, canary, and those with an alias."""
        canary = () if self.canary is None else (self.canary.version,)
        previous = () if self.previous is None else (self.previous,)
        return tuple(dict.fromkeys((self.default, *previous, *canary, *self.aliases.values())))

    def promoted(self, version: int) -> "HeadCatalog":
        """With `version` as the default; a canary of this version has done its work."""
        if version == self.default:
            return self
        canary = None if self.canary is not None and self.canary.version == version else self.canary
        history = (*self.history, self.default)[-_HISTORY_KEPT:]
        return self.model_copy(update={"default": version, "history": history, "canary": canary})


@dataclass(frozen=True)
class Model:
    """A head with the state of its versions. `catalog` is None where it cannot be used, and `fault` says why.

    `task` is that of the default version, empty where it cannot be read.
    """

    name: str
    task: str
    versions: tuple[int, ...]
    catalog: HeadCatalog | None
    fault: str = ""


@dataclass(frozen=True)
class ModelVersion:
    """One version of a head as its manifest says. `fault` says why it cannot be used; empty where it can be read.

    terms: what it may be used for; "" where nobody has said it.
    """

    name: str
    version: int
    task: str = ""
    mode: str = ""
    digest: str = ""
    backbone: str = ""
    backbone_digest: str = ""
    features: tuple[str, ...] = ()
    label_count: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    source: str = ""
    licence: str = ""
    data: str = ""
    fault: str = ""
    terms: str = ""

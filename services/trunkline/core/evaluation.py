"""On what a head was measured, so that two versions can be compared."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Evaluation(BaseModel):
    """The samples that the metrics of a manifest were measured on. `digest`: see evaluation_digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    split: str
    count: Annotated[int, Field(ge=1)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def evaluation_digest(samples: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over the name and the bytes of every sample; the order in which they come does not matter."""
    parts = sorted((name.encode(), hashlib.sha256(data).digest()) for name, data in samples)
    total = hashlib.sha256()
    for name, digest in parts:
        total.update(len(name).to_bytes(8, "big") + name + digest)
    return total.hexdigest()

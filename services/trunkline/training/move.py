"""All heads of one backbone made again on another: the plan, and one head after the other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.catalog import current_catalog
from trunkline.core.errors import InvalidRequestError, ModelInvalidError, NotFoundError
from trunkline.core.repository import Repository
from trunkline.core.train_request import TrainRequest
from trunkline.training.again import recorded_request, request_again
from trunkline.training.carry import can_be_carried

How = Literal["train", "carry", "done", "left"]


@dataclass(frozen=True)
class Folders:
    """Where data lies now. parents: folders that hold data sets by their names, or are one. by_head: of one head."""

    parents: Sequence[Path] = ()
    by_head: Mapping[str, Path] | None = None

    def find(self, head: str, name: str) -> Path | None:
        """The folder of the data that a head was made from, by its name."""
        named = (self.by_head or {}).get(head)
        if named is not None:
            return named
        places = (place for parent in self.parents for place in (parent / name, parent) if place.name == name)
        return next((place for place in places if place.exists()), None)


@dataclass(frozen=True)
class Step:
    """What becomes of a head. head: its default version. request: of "train". made: the version, of "done".

    why: of "left", what to do.
    """

    head: Bundle[HeadManifest]
    how: How
    request: TrainRequest | None = None
    made: int | None = None
    why: str = ""

    @property
    def name(self) -> str:
        return self.head.manifest.name


def planned(
    repository: Repository,
    old: BackboneManifest,
    new: BackboneManifest,
    folders: Folders,
    only: Sequence[str] = (),
) -> list[Step]:
    """A step for each head whose default version is on the old backbone, or for those named alone.

    Raises InvalidRequestError where both are the same, or data of a head cannot be found; NotFoundError for a head
    that is not there or not on that backbone.
    """
    if old.digest == new.digest:
        raise InvalidRequestError(f"{old.name}/{old.version} and {new.name}/{new.version} are the same backbone")
    steps = [_step(repository, head, old, new, folders) for head in _heads(repository, old, only)]
    missing = [step for step in steps if step.how == "train" and step.request is None]
    if missing:
        wanted = ", ".join(f"{step.name}: {recorded_request(step.head).data}" for step in missing)
        raise InvalidRequestError(
            f"the data of {len(missing)} heads is not there ({wanted}): name the folder that holds these with --data "
            "DIR, one head's own with --data HEAD=DIR, or the heads to move with --head"
        )
    return steps


def versions_on(repository: Repository, name: str, backbone: BackboneManifest) -> Iterator[int]:
    """The versions of a head on this backbone, the highest first; what is broken is passed over."""
    for version in reversed(repository.versions("head", name)):
        try:
            manifest = repository.head(name, version).manifest
        except ModelInvalidError:
            continue
        if manifest.backbone.digest == backbone.digest:
            yield version


def _heads(repository: Repository, old: BackboneManifest, only: Sequence[str]) -> list[Bundle[HeadManifest]]:
    found = []
    for name in only or repository.names("head"):
        try:
            head = repository.head(name, current_catalog(repository.root, name).default)
        except ModelInvalidError:
            if only:
                raise
            continue
        if head.manifest.backbone.digest == old.digest:
            found.append(head)
        elif only:
            raise NotFoundError(f"head {name!r} is not on {old.name}/{old.version}", name=name)
    return found


def _step(
    repository: Repository,
    head: Bundle[HeadManifest],
    old: BackboneManifest,
    new: BackboneManifest,
    folders: Folders,
) -> Step:
    made = next(versions_on(repository, head.manifest.name, new), None)
    if made is not None:
        return Step(head, "done", made=made)
    if can_be_carried(head, new):
        return Step(head, "carry")
    try:
        recorded = recorded_request(head)
    except InvalidRequestError as error:
        return Step(head, "left", why=error.message)
    data = folders.find(head.manifest.name, recorded.data)
    return Step(head, "train", request_again(head, old, new, data) if data is not None else None)

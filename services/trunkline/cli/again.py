"""`trunkline train --again HEAD --backbone NEW`: the next version of a head, on another backbone."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trunkline.cli.extras import train_extra

if TYPE_CHECKING:
    from trunkline.core.bundle import Bundle, HeadManifest
    from trunkline.core.train_request import TrainRequest

# The rest of what can be said of a head is on its card.
_BESIDE = {"again", "backbone", "data", "changed_data", "cache", "models", "watch", "service", "json"}


def check_alone(context: typer.Context) -> None:
    """Raises BadParameter for an option that the card of the head decides."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE" and parameter.name not in _BESIDE:
            raise typer.BadParameter(f"--again takes {parameter.opts[0]} from the card of the head: leave it out")


def again(
    models: str | None, head: str, backbone: str, data: Path | None
) -> "tuple[TrainRequest, Bundle[HeadManifest]]":
    """The request on the card of a head, for another backbone. head: NAME, for its default version, or NAME/VERSION.

    Raises NotFoundError, InvalidRequestError, ModelInvalidError.
    """
    from trunkline.core.catalog import current_catalog
    from trunkline.core.errors import InvalidRequestError, NotFoundError
    from trunkline.core.repository import Repository
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    with train_extra("training"):
        from trunkline.training.again import recorded_request, request_again
    repository = Repository(open_store(read_settings(models=models)).root)
    name, slash, version = head.partition("/")
    if slash and not version.isdecimal():
        raise typer.BadParameter(f"--again {head}: write NAME or NAME/VERSION")
    number = int(version) if slash else current_catalog(repository.root, name).default
    found = repository.head(name, number)
    known = found.manifest.backbone
    try:
        old = repository.backbone(known.name, known.version).manifest
    except NotFoundError:
        old = None
    recorded = recorded_request(found)
    where = data if data is not None else Path(recorded.data)
    if data is None and not where.exists():
        raise InvalidRequestError(f"{head} was made from a folder {recorded.data}: say where it is with --data")
    return request_again(found, old, repository.backbone(backbone).manifest, where), found

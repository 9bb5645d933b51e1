"""Versions of several heads promoted at once: all of them, or none."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from trunkline.catalog.catalog import Catalog
from trunkline.core.errors import InvalidRequestError, TrunklineError
from trunkline.core.models import HeadCatalog, Model
from trunkline.core.store import ChangeState

MOST = 256  # heads; as in catalog_service.proto


def promote_all(
    catalog: Catalog, versions: Sequence[tuple[str, int]], *, margin: float | None = None, force: bool = False
) -> list[Model]:
    """Promote each (head, version). Raises as Catalog.promote does, and InvalidRequestError for a head named twice.

    Each head has a file of its own, so between the first and the last some answer from the new version already. All
    are checked before the first is changed; where one cannot be changed after all, those before it are put back,
    unless somebody else has changed them in the meantime.
    """
    names = [name for name, _ in versions]
    if len(set(names)) < len(names) or not names or len(names) > MOST:
        raise InvalidRequestError(f"name 1 to {MOST} heads, each once")
    changes = {name: catalog.promotion(name, version, margin=margin, force=force) for name, version in versions}
    for name, change in changes.items():
        state = catalog.model(name).catalog
        if state is not None:  # where it is damaged, the change below says so
            change(state)
    before: dict[str, HeadCatalog] = {}
    done: list[Model] = []
    try:
        for name, change in changes.items():
            done.append(catalog.change(name, partial(_noted, before, name, change)))
    except TrunklineError:
        for model in reversed(done):
            with suppress(TrunklineError):  # the first error says what is wrong
                catalog.change(model.name, partial(_put_back, before[model.name], model.catalog))
        raise
    return done


def _noted(before: dict[str, HeadCatalog], name: str, change: ChangeState, state: HeadCatalog) -> HeadCatalog:
    before[name] = state
    return change(state)


def _put_back(before: HeadCatalog, after: HeadCatalog | None, state: HeadCatalog) -> HeadCatalog:
    return before.model_copy(update={"revision": state.revision}) if state == after else state

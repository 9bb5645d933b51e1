"""`trunkline models versions`, `promote`, `rollback`, `canary`, `alias`: on the model folder or through a service."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import Json, Models, check_target
from trunkline.cli.output import print_json, show, table
from trunkline.core.figures import percent

if TYPE_CHECKING:
    from trunkline.catalog.catalog import Catalog
    from trunkline.client import CatalogClient
    from trunkline.core.models import HeadCatalog, Model, ModelVersion

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the head.")]
Version = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Number of the version.")]
Service = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="HOST:PORT",
        callback=check_target,
        help="Work through this running service instead of the model folder.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """The commands below, as commands of `app`."""
    for command in (versions, promote, rollback, canary, alias):
        app.command(command.__name__)(command)


def versions(name: Name, models: Models = None, target: Service = None, json: Json = False) -> None:
    """List the versions of a head: which is the default, and how each was measured."""
    with _catalog(models, target) as catalog:
        model, found = catalog.model(name), catalog.versions(name)
    if json:
        print_json(_model_to_json(model) | {"versions": [_version_to_json(each) for each in found]})
        return
    made = table(
        "version",
        "state",
        "mode",
        "metrics",
        "measured on",
        "fault",
        right=("version",),
        text=("state", "metrics", "measured on", "fault"),
    )
    for each in found:
        made.add_row(
            str(each.version),
            ", ".join(_states(model.catalog, each.version)),
            each.mode,
            ", ".join(f"{metric} {value:.4g}" for metric, value in each.metrics.items()),
            _samples(each),
            each.fault or (model.fault if each.version == model.versions[-1] else ""),
        )
    show(made)


def promote(
    heads: Annotated[
        list[str],
        typer.Argument(
            metavar="HEAD...",
            help="NAME VERSION; or one or more of NAME/VERSION or NAME, which stands for its highest version.",
            show_default=False,
        ),
    ],
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            help="By how much it may be worse than the default: a difference for accuracy, mean_iou, ap50 and auc, "
            "a share of the default's value for rmse and mae.",
            show_default="0.01",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Promote without comparing measurements.")] = False,
    models: Models = None,
    target: Service = None,
    json: Json = False,
) -> None:
    """Make a version the default, if it is no worse than the current default on the same samples.

    Several heads are switched at once: all of them, or none.
    """
    with _catalog(models, target) as catalog:
        if len(heads) == 2 and heads[1].isdecimal():
            _show(catalog.promote(heads[0], int(heads[1]), margin=margin, force=force), json)
            return
        versions = [_head_version(catalog, each) for each in heads]
        found = _promote_all(catalog, versions, margin, force)
    if json:
        print_json({"models": [_model_to_json(model) for model in found]})
        return
    for model in found:
        _show(model, json=False)


def _head_version(catalog: "Catalog | CatalogClient", head: str) -> tuple[str, int]:
    name, slash, version = head.partition("/")
    if not slash:
        return name, max(catalog.model(name).versions, default=0)
    if not version.isdecimal() or version.startswith("0"):
        raise typer.BadParameter(f"{head}: write NAME, NAME/VERSION, or NAME VERSION for one head")
    return name, int(version)


def _promote_all(
    catalog: "Catalog | CatalogClient", versions: list[tuple[str, int]], margin: float | None, force: bool
) -> "list[Model]":
    from trunkline.catalog.catalog import Catalog
    from trunkline.catalog.several import promote_all

    if isinstance(catalog, Catalog):
        return promote_all(catalog, versions, margin=margin, force=force)
    return catalog.promote_all(versions, margin=margin, force=force)


def rollback(name: Name, models: Models = None, target: Service = None, json: Json = False) -> None:
    """Make the previous default the default again."""
    with _catalog(models, target) as catalog:
        _show(catalog.rollback(name), json)


def canary(
    name: Name,
    version: Version,
    share: Annotated[
        float, typer.Argument(metavar="SHARE", min=0, max=1, help="Share of the calls, 0 to 1; 0 ends the trial.")
    ],
    models: Models = None,
    target: Service = None,
    json: Json = False,
) -> None:
    """Give a version a share of the calls that do not name a version."""
    with _catalog(models, target) as catalog:
        _show(catalog.set_canary(name, version, share), json)


def alias(
    name: Name,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The alias; ask for NAME@ALIAS.")],
    version: Annotated[
        int | None,
        typer.Argument(metavar="VERSION", min=1, help="Version that it names; without it, the alias is removed."),
    ] = None,
    models: Models = None,
    target: Service = None,
    json: Json = False,
) -> None:
    """Give a version an alias, or remove the alias."""
    with _catalog(models, target) as catalog:
        _show(catalog.delete_alias(name, alias) if version is None else catalog.set_alias(name, alias, version), json)


@contextmanager
def _catalog(models: str | None, target: str | None) -> "Iterator[Catalog | CatalogClient]":
    if target is not None:
        from trunkline.client import CatalogClient

        with CatalogClient(target) as client:
            yield client
        return
    from trunkline.catalog.catalog import Catalog
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    store = open_store(read_settings(models=models))
    yield Catalog(store.root, store.change_catalog)


def _show(model: "Model", json: bool) -> None:
    if json:
        print_json(_model_to_json(model))
        return
    default = model.catalog.default if model.catalog is not None else 0
    for version in sorted(model.versions, key=lambda number: (number != default, -number)):
        states = _states(model.catalog, version)
        if states:
            print(f"{model.name}/{version}: {', '.join(states)}")


def _states(state: "HeadCatalog | None", version: int) -> list[str]:
    """What a version is: default, previous default, canary, aliases."""
    if state is None:
        return []
    found = ["default"] if version == state.default else []
    found += ["previous"] if version == state.previous and version != state.default else []
    if state.canary is not None and state.canary.version == version:
        found.append(f"canary {percent(state.canary.share)}")
    return found + [f"@{name}" for name, number in sorted(state.aliases.items()) if number == version]


def _samples(version: "ModelVersion") -> str:
    found = version.evaluation
    return "" if found is None else f"{found.count} of {found.data} {found.split} ({found.digest[:8]})"


def _model_to_json(model: "Model") -> dict[str, Any]:
    state = model.catalog.model_dump(mode="json", exclude={"schema_version"}) if model.catalog is not None else {}
    document = {"name": model.name, "task": model.task, "versions": list(model.versions), **state}
    return document | ({"fault": model.fault} if model.fault else {})


def _version_to_json(version: "ModelVersion") -> dict[str, Any]:
    evaluation = version.evaluation.model_dump() if version.evaluation is not None else None
    return asdict(version) | {"evaluation": evaluation}

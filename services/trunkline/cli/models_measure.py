"""`trunkline models measure`: a head under the preprocessing spec of another; needs the `train` extra."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.options import Json, Models
from trunkline.cli.output import print_json

if TYPE_CHECKING:
    from trunkline.training.variants import VariantReport

Folders = list[Path] | None


def add_to(app: typer.Typer) -> None:
    """The command below, as a command of `app`."""
    app.command("measure")(measure)


def measure(
    head: Annotated[str, typer.Argument(metavar="HEAD", help="Head to measure, NAME or NAME/VERSION.")],
    *,
    like: Annotated[
        str,
        typer.Option("--like", metavar="HEAD", help="Head whose preprocessing to measure with.", show_default=False),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Data set that the head was measured on.", show_default=False),
    ] = None,
    adapt: Annotated[
        Folders,
        typer.Option(
            "--adapt",
            metavar="PICTURES",
            help="Images without labels, to adapt a head on pooled to the spec; for a classifier, a quarter is held "
            "back to compare answers on; repeatable.",
        ),
    ] = None,
    pictures: Annotated[
        Folders,
        typer.Option("--pictures", metavar="PICTURES", help="Further images to compare answers on; may be repeated."),
    ] = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Measure a head with the preprocessing of another, and publish a version that knows both.

    Calls that allow it to lose as many points share the pass of the other head. Under its own preprocessing it
    answers as before. The new version answers once it is promoted.
    """
    from trunkline.cli.pictures import find_pictures
    from trunkline.cli.stages import watcher
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    with train_extra("measuring a head"):
        from trunkline.training.data.reading import limit_annotations
        from trunkline.training.variants import VariantRequest, measure_variant

    settings = read_settings(models=models)
    limit_annotations(settings.training_annotations_mib)
    store = open_store(settings)
    request = VariantRequest(
        head,
        like,
        data=data,
        adapt=tuple(find_pictures(adapt or ())),
        pictures=tuple(find_pictures(pictures or ())),
        named=(_names(adapt), _names(pictures)),
    )
    with watcher() as watched:
        report = measure_variant(request, store.root, watched.stage, store.publish)
    print_json(_to_json(report)) if json else _print(report)


def _names(folders: Folders) -> str:
    return ", ".join(dict.fromkeys(folder.resolve().name for folder in folders or ()))


def _to_json(report: "VariantReport") -> dict[str, Any]:
    return {
        "head": report.folder.parent.name,
        "version": report.folder.name,
        "path": str(report.folder),
        "preprocess": report.spec.model_dump(),
        "preprocess_fingerprint": report.spec.fingerprint,
        "points_lost": report.points_lost,
        "metrics": dict(report.metrics),
        "before": dict(report.before),
        "agreement": report.agreement.model_dump() if report.agreement else None,
        "unadapted": report.unadapted.model_dump() if report.unadapted else None,
        "fitted_on": report.fitted_on,
    }


def _print(report: "VariantReport") -> None:
    name, version = report.folder.parent.name, report.folder.name
    print(f"head      {name} version {version}: {report.folder}")
    print(f"spec      {report.spec.words}  {report.spec.fingerprint}")
    for metric, value in report.metrics.items():
        print(f"{metric:24} {value:8.4g}  before {report.before[metric]:8.4g}")
    if report.agreement is not None:
        without = f", {100 * report.unadapted.share:.1f} % without the map" if report.unadapted else ""
        print(
            f"answers   the same on {100 * report.agreement.share:.1f} % of {report.agreement.count} pictures not "
            f"learned from{without}"
        )
    print(f"costs     {report.points_lost:.1f} points; promote it with: trunkline models promote {name}/{version}")

"""`trunkline evaluate`: what a head is worth on data. Needs the train extra, and torch for nothing."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.options import Data, Draw, Json, Models, Timeout, check_target
from trunkline.cli.output import print_json, print_metrics

if TYPE_CHECKING:
    from trunkline.serving.settings import Settings


def evaluate(
    head: Annotated[str, typer.Option("--head", help="Name of the head.", show_default=False)],
    data: Data,
    *,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Split to evaluate on; may be repeated.", show_default="test, or all there is"),
    ] = None,
    renamed: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="CLASS=NAME",
            help="Name that the data uses for a class of the head, such as person=pedestrian; may be repeated.",
        ),
    ] = None,
    attack: Annotated[
        Literal["fgsm", "pgd"] | None,
        typer.Option("--attack", help="Measure a classifier on images that were made to be mistaken; needs torch."),
    ] = None,
    epsilon: Annotated[
        str | None,
        typer.Option(
            "--epsilon",
            metavar="E,…",
            help="How far an attack changes a pixel, steps of 255.",
            show_default="1,2,4,8",
        ),
    ] = None,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Measure a classifier on images with noise, blur and artefacts.")
    ] = False,
    as_answered: Annotated[
        bool,
        typer.Option(
            "--as-answered", help="For data with other classes: right is what the head says of the clean image."
        ),
    ] = False,
    most: Annotated[
        int,
        typer.Option("--most", min=1, metavar="N", help="Images of an attack or of corruptions, evenly from all."),
    ] = 300,
    draw: Draw = None,
    json: Json = False,
    models: Models = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="HOST:PORT",
            callback=check_target,
            help="Measure the head of this running service instead of the model folder; the images are sent there.",
        ),
    ] = None,
    timeout: Timeout = 30.0,
) -> None:
    """Measure a head on data, through the serving path: ONNX Runtime and the head's own decode, or a service."""
    if target is not None and models is not None:
        raise typer.BadParameter("give either --models or --target, not both")
    if attack is not None or corruptions:
        if target is not None:
            raise typer.BadParameter("an attack and corruptions need the files of the head: leave --target out")
        _changed(models, head, data, split, attack, epsilon, as_answered=as_answered, most=most, draw=draw, json=json)
        return
    from trunkline.cli.stages import watcher
    from trunkline.serving.settings import read_settings

    settings, names = read_settings(models=models), _names(renamed or ())
    with watcher() as watched, train_extra("evaluation"):
        from trunkline.training.data.reading import limit_annotations

        limit_annotations(settings.training_annotations_mib)
        progress = partial(watched.stage, "evaluation")
        if target is None:
            found = _evaluate(settings, head, data, split, progress, names)
        else:
            from trunkline.cli.evaluate_served import evaluate_served

            found = evaluate_served(target, head, data, split, progress, timeout, names)
    if json:
        print_json(found)
        return
    print(f"{found['head']} {found['version']} on {found['data']}, {found['count']} pictures")
    if "remarks" in found:
        from trunkline.cli.job_bar import remarks_text

        print(f"  {remarks_text(found['remarks'], 0)}")
    print_metrics(found["metrics"])


def _changed(
    models: str | None,
    head: str,
    data: Path,
    split: Sequence[str] | None,
    attack: Literal["fgsm", "pgd"] | None,
    epsilon: str | None,
    *,
    as_answered: bool,
    most: int,
    draw: Path | None,
    json: bool,
) -> None:
    from trunkline.cli.evaluate_changed import epsilons_of, show_attack, show_corruptions
    from trunkline.cli.stages import watcher
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    epsilons, root = epsilons_of(epsilon), open_store(read_settings(models=models)).root
    with watcher() as watched, train_extra("evaluation"):
        from trunkline.training.robustness.measure import measuring

        found = measuring(root, head, data, split, most, watched.stage, as_answered=as_answered)
        if attack is not None:
            show_attack(found, attack, epsilons, json=json, draw=draw)
        else:
            show_corruptions(found, json=json)


def _names(renamed: Sequence[str]) -> dict[str, str]:
    """The data's name by class of the head. Raises BadParameter for what is not CLASS=NAME, or a class twice."""
    names: dict[str, str] = {}
    for each in renamed:
        label, sign, name = each.partition("=")
        if not (label and sign and name):
            raise typer.BadParameter(f"--map {each}: write CLASS=NAME, such as person=pedestrian")
        if label in names:
            raise typer.BadParameter(f"--map {each}: class {label} already has a name")
        names[label] = name
    return names


def _evaluate(
    settings: "Settings",
    head: str,
    data: Path,
    split: Sequence[str] | None,
    progress: Callable[[int, int], None],
    names: Mapping[str, str],
) -> dict[str, Any]:
    from trunkline.serving.store.opening import open_store
    from trunkline.training.evaluation import evaluate_head

    return evaluate_head(open_store(settings).root, head, data, split, progress, names)

"""`trunkline train` and `trunkline evaluate`: a head from data, and what it is worth. Both need the train extra."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.options import Json, Models
from trunkline.cli.output import print_json

if TYPE_CHECKING:
    from trunkline.training.fit import Epoch
    from trunkline.training.run import TrainRequest, Watcher

_CACHE = Path("out/features")
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder of the data set.", show_default=False)]


def train(
    data: Data,
    name: Annotated[str, typer.Option("--name", help="Name of the head.", show_default=False)],
    *,
    task: Annotated[Literal["classification"], typer.Option("--task", help="What to learn.")] = "classification",
    mode: Annotated[
        Literal["features"], typer.Option("--mode", help="features: a small net on stored features.")
    ] = "features",
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Split to learn from, repeatable.", show_default="train")
    ] = None,
    test_split: Annotated[str, typer.Option("--test-split", help="Split to evaluate on.")] = "test",
    feature: Annotated[
        list[str] | None,
        typer.Option("--feature", help="Feature of the backbone, repeatable.", show_default="c4 c5 pooled"),
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Side of the square that the net sees, pixels.")] = 288,
    resize: Annotated[
        Literal["crop", "squash", "pad"], typer.Option("--resize", help="How to get there.")
    ] = "squash",
    epochs: Annotated[
        int, typer.Option("--epochs", min=0, help="At most.", show_default="what gives 2,000 steps")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all random numbers.")] = 0,
    balance: Annotated[bool, typer.Option("--balance", help="Weigh rare classes up.")] = False,
    licence: Annotated[str, typer.Option("--licence", help="Terms of the data, for the card.")] = "not stated",
    backbone: Annotated[str, typer.Option("--backbone", help="Backbone to learn on.")] = "efficientnet-lite0",
    cache: Annotated[Path, typer.Option("--cache", metavar="DIR", help="Where features are kept.")] = _CACHE,
    models: Models = None,
) -> None:
    """Learn a head from a folder of pictures, measure it, and publish it as the next version.

    The head is exported to ONNX, checked against torch, and evaluated through the serving path; only then does
    it appear in the model folder, whole.
    """
    with train_extra("training"):
        from trunkline.training.data.read import read_dataset
        from trunkline.training.fit import FitOptions
        from trunkline.training.run import TrainRequest, train_head
    from trunkline.core.preprocess import parse_spec
    from trunkline.serving.settings import read_settings

    request = TrainRequest(
        name=name,
        backbone=backbone,
        features=tuple(feature or ("c4", "c5", "pooled")),
        spec=parse_spec({"resize": resize, "width": size, "height": size}),
        train_splits=tuple(split or ("train",)),
        test_split=test_split,
        options=FitOptions(epochs=epochs, seed=seed, balance=balance),
        licence=licence,
    )
    request = replace(request, command=_command(request, data))
    with _watcher() as watcher:
        folder = train_head(request, read_dataset(data), read_settings(models=models).models, cache, watcher)
    _report(folder)


def evaluate(
    head: Annotated[str, typer.Option("--head", help="Name of the head.", show_default=False)],
    data: Data,
    *,
    split: Annotated[
        str | None, typer.Option("--split", help="Split to evaluate on.", show_default="test, or all there is")
    ] = None,
    json: Json = False,
    models: Models = None,
) -> None:
    """Measure a head on data, through the serving path: ONNX Runtime and the head's own decode."""
    with train_extra("evaluation"):
        from trunkline.training.data.read import read_dataset
        from trunkline.training.evaluation import evaluate_head
    from trunkline.serving.settings import read_settings

    dataset = read_dataset(data)
    with _watcher() as watcher:
        found = evaluate_head(
            read_settings(models=models).models,
            head,
            dataset,
            split,
            partial(watcher.stage, "evaluation"),
        )
    if json:
        print_json(found)
        return
    print(f"{found['head']} {found['version']} on {found['data']}, {found['count']} pictures")
    _print_metrics(found["metrics"])


@contextmanager
def _watcher() -> Iterator["Watcher"]:
    """Progress bars on standard error: one for each stage, and one for the epochs with loss and metric."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from trunkline.training.run import Watcher

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, object] = {}

        def stage(name: str, done: int, total: int) -> None:
            if done == 1 or name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done)  # type: ignore[arg-type]

        def epoch(line: "Epoch") -> None:
            stage("epochs", line.number, line.of)
            seen = "" if line.validation_metric is None else f", validation {100 * line.validation_metric:.1f} %"
            bar.update(tasks["epochs"], description=f"epochs: loss {line.train_loss:.3f}{seen}")  # type: ignore[arg-type]

        yield Watcher(stage, epoch)


def _command(request: "TrainRequest", data: Path) -> str:
    """The command line that repeats this run, with the name of the data alone, no folder of this machine."""
    options = request.options
    words = ["trunkline", "train", "--data", data.name, "--name", request.name, "--backbone", request.backbone]
    for split in request.train_splits:
        words += ["--split", split]
    for feature in request.features:
        words += ["--feature", feature]
    words += ["--test-split", request.test_split, "--size", str(request.spec.width), "--resize", request.spec.resize]
    words += [
        "--epochs",
        str(options.epochs),
        "--seed",
        str(options.seed),
        *(["--balance"] if options.balance else []),
    ]
    return shlex.join(words)


def _report(folder: Path) -> None:
    from trunkline.core.bundle import HeadManifest, read_bundle

    manifest = read_bundle(folder).manifest
    print(f"head {manifest.name} version {manifest.version}: {folder}")
    if isinstance(manifest, HeadManifest):
        _print_metrics(manifest.metrics)


def _print_metrics(metrics: Mapping[str, float]) -> None:
    for metric, value in metrics.items():
        print(f"  {metric:22} {100 * value:6.2f} %")

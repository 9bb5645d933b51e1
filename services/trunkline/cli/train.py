"""`trunkline train` and `trunkline evaluate`: a head from data, and what it is worth. Both need the train extra."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.options import DEFAULT_TARGET, Json, Models, Timeout, check_target
from trunkline.cli.output import print_json
from trunkline.core.train_choices import Augmentation, Loss

if TYPE_CHECKING:
    from trunkline.core.progress import Epoch, Watcher
    from trunkline.core.train_request import TrainRequest
    from trunkline.serving.settings import Settings

_CACHE = Path("out/features")
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder of the data set.", show_default=False)]
Name = Annotated[str, typer.Option("--name", help="Name of the head.", show_default=False)]
Words = list[str] | None
_BY_MODE = "by the mode"


class Mode(StrEnum):
    PRETRAINED = "pretrained"
    FEATURES = "features"
    TRANSFER = "transfer"
    FINETUNE = "finetune"
    SCRATCH = "scratch"


def train(
    data: Data,
    name: Name,
    *,
    task: Annotated[
        str, typer.Option("--task", help="classification, regression, detection, segmentation, similarity.")
    ] = "classification",
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode",
            help="pretrained: a classifier as it is. features: a small net on stored features. transfer: that, "
            "on augmented views. finetune: the last stages of the backbone too. scratch: an own net on the pixels.",
        ),
    ] = Mode.FEATURES,
    target: Annotated[
        Words, typer.Option("--target", help="Column to learn, repeatable.", show_default="all numbers")
    ] = None,
    angle: Annotated[Words, typer.Option("--angle", help="Target that is an angle in degrees, repeatable.")] = None,
    unit: Annotated[Words, typer.Option("--unit", metavar="TARGET=UNIT", help="Unit, repeatable.")] = None,
    split: Annotated[
        Words, typer.Option("--split", help="Split to learn from, repeatable.", show_default="train")
    ] = None,
    test_split: Annotated[str, typer.Option("--test-split", help="Split to evaluate on.")] = "test",
    feature: Annotated[
        Words, typer.Option("--feature", help="Feature, repeatable.", show_default="c4 c5 pooled")
    ] = None,
    tail: Annotated[str, typer.Option("--tail", help="With finetune: feature at which the own tail begins.")] = "c4",
    source: Annotated[str, typer.Option("--source", help="With pretrained: the classifier.")] = "imagenet",
    net: Annotated[
        Literal["cnn", "conv4", "lenet5", "segnet", "yolo", "svm-rcnn"] | None,
        typer.Option(
            "--net",
            help="With scratch: cnn, conv4, lenet5, segnet. In detection: yolo (extra ultralytics), svm-rcnn.",
            show_default="by the task",
        ),
    ] = None,
    decoder: Annotated[
        Literal["unet", "fpn", "deeplabv3plus", "pan", "upernet"],
        typer.Option("--decoder", help="Of segmentation, on the maps of the backbone."),
    ] = "unet",
    size: Annotated[
        Literal["light", "medium", "large"], typer.Option("--size", help="Of the net, in segmentation and detection.")
    ] = "light",
    loss: Annotated[
        Loss | None,
        typer.Option("--loss", help="Of segmentation, detection or similarity.", show_default="by the task"),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", metavar="FILE", help="With scratch and --size large: VGG16-BN for SegNet's encoder."
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", help="Pixels that the net sees.", show_default=_BY_MODE)
    ] = None,
    height: Annotated[int | None, typer.Option("--height", show_default="the width")] = None,
    resize: Annotated[
        Literal["crop", "squash", "pad"], typer.Option("--resize", help="How to get there.")
    ] = "squash",
    crop_share: Annotated[
        float, typer.Option("--crop-share", help="With --resize crop: share of the shorter side that is kept.")
    ] = 1.0,
    colour: Annotated[Literal["RGB", "L"], typer.Option("--colour", help="L: gray, with scratch.")] = "RGB",
    views: Annotated[
        int | None, typer.Option("--views", help="Views of each picture.", show_default=_BY_MODE)
    ] = None,
    augmentation: Annotated[
        Augmentation | None,
        typer.Option("--augmentation", help="What the other views are.", show_default="by task and mode"),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="At most.", show_default=_BY_MODE)] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pictures in a step.", show_default=_BY_MODE)] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Learning rate.", show_default=_BY_MODE)] = None,
    weight_decay: Annotated[float | None, typer.Option("--weight-decay", show_default=_BY_MODE)] = None,
    dropout: Annotated[float | None, typer.Option("--dropout", show_default=_BY_MODE)] = None,
    label_smoothing: Annotated[float | None, typer.Option("--label-smoothing", show_default="0.1")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all random numbers.")] = 0,
    balance: Annotated[bool, typer.Option("--balance", help="Weigh rare classes up.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Learn nothing where there is any remark on the data.")
    ] = False,
    licence: Annotated[str, typer.Option("--licence", help="Terms of the data, for the card.")] = "not stated",
    backbone: Annotated[str, typer.Option("--backbone", help="Backbone to learn on.")] = "efficientnet-lite0",
    cache: Annotated[Path, typer.Option("--cache", metavar="DIR", help="Where features are kept.")] = _CACHE,
    models: Models = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="As a job of a running training service, watched from here.")
    ] = False,
    service: Annotated[
        str, typer.Option("--service", metavar="HOST:PORT", help="With --watch: where that service is.")
    ] = DEFAULT_TARGET,
    json: Json = False,
) -> None:
    """Learn a head from pictures, measure it, and publish it as the next version.

    The head is exported to ONNX, checked against torch, and evaluated through the serving path; only then does
    it appear in the model folder, whole.
    """
    from trunkline.core.train_request import parse_request

    request = parse_request(
        {
            "name": name,
            "data": str(data),
            "task": task,
            "mode": mode.value,
            "target": tuple(target or ()),
            "angle": tuple(angle or ()),
            "unit": _units(unit or ()),
            "train_splits": tuple(split or ("train",)),
            "test_split": test_split,
            "features": tuple(feature) if feature else None,
            "tail": tail,
            "net": net,
            "decoder": decoder,
            "size": size,
            "loss": loss,
            "weights": str(weights) if weights else None,
            "source": source,
            "spec": _spec(width, height, resize, crop_share, colour),
            "views": views,
            "augmentation": augmentation,
            "options": {
                "epochs": epochs,
                "batch": batch,
                "rate": rate,
                "weight_decay": weight_decay,
                "dropout": dropout,
                "label_smoothing": label_smoothing,
                "seed": seed,
                "balance": balance,
            },
            "licence": licence,
            "strict": strict,
            "backbone": backbone,
        }
    )
    if watch:
        from trunkline.cli.jobs import submit_and_watch

        submit_and_watch(request, service, json=json)
    else:
        _train_here(request, cache, models, json=json)


def _train_here(request: "TrainRequest", cache: Path, models: str | None, *, json: bool) -> None:
    with train_extra("training"):
        from trunkline.training import group
        from trunkline.training.run import Places, train_head
    from trunkline.core.errors import TrunklineError
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store
    from trunkline.training.data.reading import limit_annotations

    settings = read_settings(models=models)
    limit_annotations(settings.training_annotations_mib)
    store = open_store(settings)
    try:
        with TemporaryDirectory(prefix="trunkline-train-") as work, _watcher(shown=group.rank() == 0) as watcher:
            folder = train_head(request, Places(store.root, cache, Path(work)), watcher, store.publish)
    except TrunklineError as error:
        if group.rank():
            raise typer.Exit(1) from error  # the first process says why
        raise
    if folder is not None:
        _report(folder, json=json)


def _spec(
    width: int | None, height: int | None, resize: str, crop_share: float, colour: str
) -> dict[str, object] | None:
    rest = {"resize": resize, "crop_share": crop_share, "colour": colour}
    if width is None and height is None and rest == {"resize": "squash", "crop_share": 1.0, "colour": "RGB"}:
        return None
    if width is None:
        raise typer.BadParameter("--height, --resize and the like need --width too")
    return {"width": width, "height": height or width, **rest}


def _units(pairs: Sequence[str]) -> dict[str, str]:
    units = {}
    for pair in pairs:
        name, equals, unit = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--unit {pair}: write TARGET=UNIT")
        units[name] = unit
    return units


def evaluate(
    head: Annotated[str, typer.Option("--head", help="Name of the head.", show_default=False)],
    data: Data,
    *,
    split: Annotated[
        str | None, typer.Option("--split", help="Split to evaluate on.", show_default="test, or all there is")
    ] = None,
    json: Json = False,
    models: Models = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="HOST:PORT",
            callback=check_target,
            help="The head of this running service, instead of the model folder; pictures are sent there.",
        ),
    ] = None,
    timeout: Timeout = 30.0,
) -> None:
    """Measure a head on data, through the serving path: ONNX Runtime and the head's own decode, or a service."""
    if target is not None and models is not None:
        raise typer.BadParameter("--models and --target are two ways to the head: give one of them")
    from trunkline.serving.settings import read_settings

    settings = read_settings(models=models)
    with _watcher() as watcher, train_extra("evaluation"):
        from trunkline.training.data.reading import limit_annotations

        limit_annotations(settings.training_annotations_mib)
        progress = partial(watcher.stage, "evaluation")
        if target is None:
            found = _evaluate(settings, head, data, split, progress)
        else:
            from trunkline.cli.evaluate_served import evaluate_served

            found = evaluate_served(target, head, data, split, progress, timeout)
    if json:
        print_json(found)
        return
    print(f"{found['head']} {found['version']} on {found['data']}, {found['count']} pictures")
    if "remarks" in found:
        from trunkline.cli.job_bar import remarks_text

        print(f"  {remarks_text(found['remarks'], 0)}")
    _print_metrics(found["metrics"])


def _evaluate(
    settings: "Settings", head: str, data: Path, split: str | None, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    from trunkline.serving.store.opening import open_store
    from trunkline.training.evaluation import evaluate_head

    return evaluate_head(open_store(settings).root, head, data, split, progress)


@contextmanager
def _watcher(*, shown: bool = True) -> Iterator["Watcher"]:
    """Progress bars on standard error: one for each stage, and one for the epochs with loss and metric."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from trunkline.cli.job_bar import remarks_text
    from trunkline.core.progress import Watcher

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        tasks: dict[str, TaskID] = {}

        def stage(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            elif bar.tasks[tasks[name]].completed >= done:
                bar.reset(tasks[name], total=total)
            bar.update(tasks[name], completed=done)

        def epoch(line: "Epoch") -> None:
            stage("epochs", line.number, line.of)
            seen = _metric(line)
            bar.update(tasks["epochs"], description=f"epochs: loss {line.train_loss:.3f}{seen}")

        def data(remarks: int, left_out: int) -> None:
            if remarks:
                bar.console.print(remarks_text(remarks, left_out), markup=False, highlight=False)

        yield Watcher(stage, epoch, data)


def _metric(line: "Epoch") -> str:
    if line.validation_metric is None:
        return ""
    value = f"{100 * line.validation_metric:.1f} %" if line.metric == "accuracy" else f"{line.validation_metric:.3g}"
    return f", validation {line.metric} {value}"


def _report(folder: Path, *, json: bool) -> None:
    from trunkline.core.bundle import HeadManifest, read_bundle

    manifest = read_bundle(folder).manifest
    assert isinstance(manifest, HeadManifest)
    if json:
        print_json(
            {
                "head": manifest.name,
                "version": str(manifest.version),
                "path": str(folder),
                "metrics": manifest.metrics,
            }
        )
        return
    print(f"head {manifest.name} version {manifest.version}: {folder}")
    _print_metrics(manifest.metrics)


def _print_metrics(metrics: Mapping[str, float]) -> None:
    for metric, value in metrics.items():
        shown = f"{100 * value:6.2f} %" if "accuracy" in metric else f"{value:8.4g}"
        print(f"  {metric:22} {shown}")

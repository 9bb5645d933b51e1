"""`trunkline train`: a head from data. Needs the train extra."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from trunkline.cli.options import DEFAULT_TARGET, Json, Models, check_target
from trunkline.cli.train_options import (
    LIGHT,
    chosen_nets,
    learners_of_numbers,
    named_by_task,
    one_of,
    task_options,
    with_task_options,
)
from trunkline.core.tasks import known
from trunkline.core.terms import Terms
from trunkline.core.train_choices import Augmentation

_CACHE = Path("out/features")
OwnData = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Folder of the data set.")]
OwnName = Annotated[str | None, typer.Option("--name", help="Name of the head.")]
Words = list[str] | None
_BY_MODE = "by the mode"
_NUMBERS, _SPLITS, _PICTURES = f"Numbers ({learners_of_numbers()})", "Splits", "What the net sees"
_NET, _FITTING, _WHERE = "Net", "Fitting", "Where"


class Mode(StrEnum):
    PRETRAINED = "pretrained"
    FEATURES = "features"
    TRANSFER = "transfer"
    FINETUNE = "finetune"
    SCRATCH = "scratch"


@with_task_options
def train(
    context: typer.Context,
    data: OwnData = None,
    name: OwnName = None,
    *,
    again: Annotated[
        str | None,
        typer.Option(
            "--again",
            metavar="HEAD",
            help="Train the next version of this head on --backbone, otherwise as its card says.",
        ),
    ] = None,
    changed_data: Annotated[
        bool, typer.Option("--changed-data", help="With --again: accept data that has changed.")
    ] = False,
    task: Annotated[str, typer.Option("--task", help=f"{', '.join(known().by_name)}.")] = "classification",
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode",
            help="pretrained: a classifier as it is. features: a small net on stored features. transfer: the same "
            "on augmented views. finetune: also the last stages of the backbone. scratch: a new net on the pixels.",
        ),
    ] = Mode.FEATURES,
    target: Annotated[
        Words,
        typer.Option(
            "--column",
            "--target",
            help="Column to learn; may be repeated.",
            show_default="all numbers",
            rich_help_panel=_NUMBERS,
        ),
    ] = None,
    angle: Annotated[
        Words,
        typer.Option(
            "--angle", help="Column that is an angle in degrees; may be repeated.", rich_help_panel=_NUMBERS
        ),
    ] = None,
    unit: Annotated[
        Words,
        typer.Option(
            "--unit", metavar="TARGET=UNIT", help="Unit of a column; may be repeated.", rich_help_panel=_NUMBERS
        ),
    ] = None,
    split: Annotated[
        Words,
        typer.Option(
            "--split", help="Split to train on; may be repeated.", show_default="train", rich_help_panel=_SPLITS
        ),
    ] = None,
    test_split: Annotated[
        str, typer.Option("--test-split", help="Split to evaluate on.", rich_help_panel=_SPLITS)
    ] = "test",
    feature: Annotated[
        Words,
        typer.Option(
            "--feature",
            help="Feature of the backbone; may be repeated.",
            show_default="c4 c5 pooled",
            rich_help_panel=_NET,
        ),
    ] = None,
    tail: Annotated[
        str,
        typer.Option("--tail", help="With finetune: feature at which the private tail begins.", rich_help_panel=_NET),
    ] = "c4",
    source: Annotated[
        str, typer.Option("--source", help="With pretrained: the classifier to start from.", rich_help_panel=_NET)
    ] = "imagenet",
    net: Annotated[
        str | None,
        typer.Option(
            "--net",
            callback=one_of("nets"),
            help=f"With scratch, or in each mode{chosen_nets()}. {named_by_task('nets')}.",
            show_default="by the task",
            rich_help_panel=_NET,
        ),
    ] = None,
    decoder: Annotated[
        str,
        typer.Option(
            "--decoder",
            callback=one_of("decoders"),
            help=f"Decoder on the maps of the backbone. {named_by_task('decoders')}.",
            rich_help_panel=_NET,
        ),
    ] = LIGHT,
    size: Annotated[
        str,
        typer.Option(
            "--size",
            callback=one_of("sizes"),
            help=f"Size of the net. {named_by_task('sizes')}.",
            rich_help_panel=_NET,
        ),
    ] = LIGHT,
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            callback=one_of("losses"),
            help=f"Loss. {named_by_task('losses')}.",
            show_default="by the task",
            rich_help_panel=_NET,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="With a net that starts from VGG16-BN: file of its weights.",
            rich_help_panel=_NET,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="HEAD",
            help="Also learn from the answers of this head, if the task can.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    taught: Annotated[
        Words,
        typer.Option(
            "--taught",
            metavar="THEIRS=OURS",
            help="A class of the teacher and its name in the data; may be repeated.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            "--unlabelled",
            metavar="DIR",
            help="Images without labels, for the teacher.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            "--width", help="Width of the net's input, in pixels.", show_default=_BY_MODE, rich_help_panel=_PICTURES
        ),
    ] = None,
    height: Annotated[
        int | None, typer.Option("--height", help="Its height.", show_default="the width", rich_help_panel=_PICTURES)
    ] = None,
    resize: Annotated[
        Literal["crop", "squash", "pad"],
        typer.Option("--resize", help="How an image is brought to that size.", rich_help_panel=_PICTURES),
    ] = "squash",
    crop_share: Annotated[
        float,
        typer.Option(
            "--crop-share",
            help="With --resize crop: share of the shorter side to keep.",
            rich_help_panel=_PICTURES,
        ),
    ] = 1.0,
    colour: Annotated[
        Literal["RGB", "L"], typer.Option("--colour", help="L is gray; only with scratch.", rich_help_panel=_PICTURES)
    ] = "RGB",
    interpolation: Annotated[
        Literal["bicubic", "bilinear"],
        typer.Option(
            "--interpolation", help="How pixels are resized; both are antialiased.", rich_help_panel=_PICTURES
        ),
    ] = "bicubic",
    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            metavar="HEAD",
            help="Take preprocessing and backbone from this head, so that both share a pass.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option("--views", help="Views per image.", show_default=_BY_MODE, rich_help_panel=_PICTURES),
    ] = None,
    augmentation: Annotated[
        Augmentation | None,
        typer.Option(
            "--augmentation",
            help="How further views are made.",
            show_default="by task and mode",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Most epochs.", show_default=_BY_MODE, rich_help_panel=_FITTING)
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", help="Images per step.", show_default=_BY_MODE, rich_help_panel=_FITTING),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Learning rate.", show_default=_BY_MODE, rich_help_panel=_FITTING)
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option("--weight-decay", help="Weight decay.", show_default=_BY_MODE, rich_help_panel=_FITTING),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option("--dropout", help="Dropout rate.", show_default=_BY_MODE, rich_help_panel=_FITTING)
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option("--label-smoothing", help="Label smoothing.", show_default="0.1", rich_help_panel=_FITTING),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of all random numbers.", rich_help_panel=_FITTING)
    ] = 0,
    balance: Annotated[
        bool, typer.Option("--balance", help="Give rare classes more weight.", rich_help_panel=_FITTING)
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop on any remark about the data.")] = False,
    licence: Annotated[str, typer.Option("--licence", help="Licence of the data, for the card.")] = "not stated",
    terms: Annotated[
        Terms | None,
        typer.Option("--terms", help="What the head may be used for.", show_default="what the licence says"),
    ] = None,
    backbone: Annotated[
        str, typer.Option("--backbone", help="Backbone to train on.", rich_help_panel=_NET)
    ] = "efficientnet-lite0",
    cache: Annotated[
        Path, typer.Option("--cache", metavar="DIR", help="Folder of stored features.", rich_help_panel=_WHERE)
    ] = _CACHE,
    models: Models = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Train as a job of a running service, and watch it.", rich_help_panel=_WHERE),
    ] = False,
    service: Annotated[
        str,
        typer.Option(
            "--service",
            metavar="HOST:PORT",
            callback=check_target,
            help="With --watch: address of that service.",
            rich_help_panel=_WHERE,
        ),
    ] = DEFAULT_TARGET,
    json: Json = False,
    **of_tasks: object,
) -> None:
    """Train a head on images, measure it, and publish it as the next version.

    The head is exported to ONNX, checked against torch, and evaluated
    through the serving path; only then does it appear in the model folder.
    """
    from trunkline.cli.train_run import train_again, train_here
    from trunkline.core.train_request import parse_request

    if again is not None:
        train_again(
            context, again, backbone, data, cache, models, service if watch else None, changed_data, json=json
        )
        return
    if data is None or name is None:
        raise typer.BadParameter("a head needs --data DIR and --name NAME, or --again HEAD")
    request = parse_request(
        {
            "name": name,
            "data": str(data),
            "task": task,
            "mode": mode.value,
            "target": tuple(target or ()),
            "angle": tuple(angle or ()),
            "unit": _pairs(unit or (), "--unit", "TARGET=UNIT"),
            "train_splits": tuple(split or ("train",)),
            "test_split": test_split,
            "features": tuple(feature) if feature else None,
            "tail": tail,
            "net": net,
            "decoder": decoder,
            "size": size,
            "loss": loss,
            "weights": str(weights) if weights else None,
            "teacher": teacher,
            "taught": _pairs(taught or (), "--taught", "THEIRS=OURS"),
            "unlabelled": str(unlabelled) if unlabelled else None,
            "source": source,
            "spec": _spec(width, height, resize, crop_share, colour, interpolation),
            "like": like,
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
            "terms": terms,
            "strict": strict,
            "backbone": backbone,
            "task_options": task_options(of_tasks),
        }
    )
    if watch:
        from trunkline.cli.jobs import submit_and_watch

        submit_and_watch(request, service, json=json)
    else:
        train_here(request, cache, models, json=json)


def _spec(
    width: int | None, height: int | None, resize: str, crop_share: float, colour: str, interpolation: str
) -> dict[str, object] | None:
    rest = {"resize": resize, "crop_share": crop_share, "colour": colour, "interpolation": interpolation}
    usual = {"resize": "squash", "crop_share": 1.0, "colour": "RGB", "interpolation": "bicubic"}
    if width is None and height is None and rest == usual:
        return None
    if width is None:
        raise typer.BadParameter("--height, --resize and the like need --width too")
    return {"width": width, "height": height or width, **rest}


def _pairs(pairs: Sequence[str], option: str, form: str) -> dict[str, str]:
    """The values of an option of the form NAME=VALUE, by name."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{option} {pair}: write {form}")
        found[name] = value
    return found

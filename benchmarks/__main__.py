"""python -m benchmarks NAME, one module each; without a name, serving."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.output import RESULTS, Output

MODELS = Path(__file__).parents[1] / "models"

app = typer.Typer(add_completion=False, invoke_without_command=True, no_args_is_help=False)
Folder = Annotated[Path, typer.Option(help="Folder of the results.")]


def _output(folder: Path) -> Output:
    return Output(folder, " ".join(["python -m benchmarks", *sys.argv[1:]]))


@app.callback()
def standard(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="One short repeat.")] = False,
    repeats: int = 3,
    output: Folder = RESULTS,
) -> None:
    """Bare ONNX Runtime, Trunkline in both forms and the other servers, in one go."""
    if context.invoked_subcommand is None:
        from benchmarks.serving.run import run

        run(_output(output), quick=quick, repeats=repeats)


@app.command()
def growth(seconds: float = 2.0, repeats: int = 3, split: bool = False, output: Folder = RESULTS) -> None:
    """How memory, start and time of a call grow with the number of heads."""
    from benchmarks.growth import run

    run(_output(output), seconds=seconds, repeats=repeats, split=split)


@app.command()
def overload(seconds: float = 8.0, deadline_s: float = 0.5, repeats: int = 2, output: Folder = RESULTS) -> None:
    """Goodput and latency below, at and above the capacity."""
    from benchmarks.overload import run

    run(_output(output), seconds=seconds, deadline_s=deadline_s, repeats=repeats)


@app.command()
def burst(repeats: int = 3, output: Folder = RESULTS) -> None:
    """What a bad picture in a burst costs the good ones."""
    from benchmarks.burst import run

    run(_output(output), repeats=repeats)


@app.command()
def soak(minutes: float = 30.0, split: bool = False, output: Folder = RESULTS) -> None:
    """Memory and errors over a long time of mixed load, bad pictures and swaps."""
    from benchmarks.soak import run

    run(_output(output), minutes=minutes, split=split)


@app.command()
def security(calls: int = 200, seconds: float = 8.0, repeats: int = 5, output: Folder = RESULTS) -> None:
    """What TLS and keys cost, a noisy caller beside a good one, and a start with many keys."""
    from benchmarks.security import run

    run(_output(output), calls=calls, seconds=seconds, repeats=repeats)


@app.command()
def start(repeats: int = 7, output: Folder = RESULTS) -> None:
    """From exec to SERVING, and the memory then."""
    from benchmarks.start import run

    run(_output(output), repeats=repeats)


@app.command()
def heads(
    head: Annotated[list[str] | None, typer.Option(help="Repeatable; all where none is named.")] = None,
    models: Annotated[Path, typer.Option(help="Model folder.")] = MODELS,
    repeats: int = 3,
    output: Folder = RESULTS,
) -> None:
    """What each head costs: pass, net and answer apart, and a call in both forms."""
    from benchmarks.heads import run

    run(_output(output), models=models, heads=head or [], repeats=repeats)


@app.command()
def mixed(seconds: float = 4.0, repeats: int = 3, output: Folder = RESULTS) -> None:
    """Heads of different tasks on one picture, against a whole model for each."""
    from benchmarks.mixed import run

    run(_output(output), seconds=seconds, repeats=repeats)


@app.command()
def passes(
    may_lose: Annotated[float | None, typer.Option(help="Points; what the heads lose at most by default.")] = None,
    models: Annotated[Path, typer.Option(help="Model folder.")] = MODELS,
    seconds: float = 6.0,
    repeats: int = 5,
    output: Folder = RESULTS,
) -> None:
    """Four tasks about one image: every head at its best, and with fewer passes."""
    from benchmarks.passes import may_lose_all, run

    points = may_lose_all(models) if may_lose is None else may_lose
    run(_output(output), models=models, may_lose=points, seconds=seconds, repeats=repeats)


@app.command()
def gallery(images: int = 100_000, dimension: int = 256, small: int = 20_000, output: Folder = RESULTS) -> None:
    """A large gallery: recall, time of a search, rate of adding, size."""
    from benchmarks.gallery import run

    run(_output(output), images=images, dimension=dimension, small=small)


@app.command()
def loadtest(seconds: float = 10.0, repeats: int = 3, output: Folder = RESULTS) -> None:
    """The load generator itself: its ceiling, its arrivals, its latencies against known ones."""
    from benchmarks.loadtest import run

    run(_output(output), seconds=seconds, repeats=repeats)


@app.command()
def backbones(calls: int = 300, repeats: int = 3, output: Folder = RESULTS) -> None:
    """What a second backbone costs a process: memory, and calls to the first."""
    from benchmarks.backbones import run

    run(_output(output), calls=calls, repeats=repeats)


@app.command()
def parts(seconds: float = 4.0, repeats: int = 5, output: Folder = RESULTS) -> None:
    """What parts of serving are worth: each load with one of them and without."""
    from benchmarks.parts import run

    run(_output(output), seconds=seconds, repeats=repeats)


@app.command()
def explain(
    data: Annotated[Path, typer.Option(help="Folder of the data sets pets and pennfudan.")],
    models: Path = MODELS,
    pictures: int = 100,
    output: Folder = RESULTS,
) -> None:
    """What explanations are worth, beside random maps, and what they cost beside Classify."""
    from benchmarks.explain import run

    run(_output(output), models=models, data=data, pictures=pictures)


@app.command()
def robustness(
    data: Annotated[Path, typer.Option(help="Folder of the data sets flowers102 and pets.")],
    models: Path = MODELS,
    pictures: int = 200,
    output: Folder = RESULTS,
) -> None:
    """What is left of classifiers under attack and on corrupted pictures."""
    from benchmarks.robustness import run

    run(_output(output), models=models, data=data, pictures=pictures)


@app.command()
def path(output: Folder = RESULTS) -> None:
    """Which modules one call enters, and how many coroutines it awaits, in both forms."""
    from benchmarks.path import run

    run(_output(output))


@app.command()
def hostile(
    seconds: Annotated[float, typer.Option(help="Of each case, at least.")] = 8.0,
    services: Annotated[
        Path, typer.Option(metavar="CHECKOUT", help="Whose code the service runs; the callers are those of this one.")
    ] = MODELS.parent,
    case: Annotated[list[str] | None, typer.Option(help="Part of a name; repeatable. All without.")] = None,
    form: Annotated[list[str] | None, typer.Option(help="all in one, split, head alone; repeatable.")] = None,
    mixed: Annotated[float, typer.Option(metavar="MINUTES", help="All cases mixed, for so long.")] = 0.0,
    limits: Annotated[
        bool, typer.Option("--limits", help="Within the memory limits of the chart, in cgroups: needs root.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The report, or its folder.")] = None,
) -> None:
    """What hostile callers, files and broken parts cost: memory, health checks, good calls."""
    from benchmarks.hostile.run import FORMS, run, run_mixed

    folder, name = _report(out)
    forms = [each for each in FORMS if each in (form or FORMS)]
    if mixed:
        run_mixed(_output(folder), name=name, services=services.resolve(), minutes=mixed, form=forms[0])
    else:
        run(
            _output(folder),
            name=name,
            services=services.resolve(),
            seconds=seconds,
            only=case or [],
            forms=forms,
            contained=limits,
        )


def _report(out: Path | None) -> tuple[Path, str]:
    """Folder and name, of DIR or DIR/NAME.md."""
    if out is None:
        return RESULTS, ""
    return (out.parent, out.stem) if out.suffix == ".md" else (out, "")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped too
    app()

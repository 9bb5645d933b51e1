"""`trunkline analyze`: several heads on the same pictures, for one backbone pass each."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli.options import DEFAULT_TARGET, Draw, Json, Target, Timeout

if TYPE_CHECKING:
    from trunkline.cli.ask import Asked
    from trunkline.client import AnalyzeAnswer

    Ask = Callable[[Sequence[Path]], Iterator[Asked[AnalyzeAnswer]]]


def analyze(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO|FOLDER", help="Pictures, or folders of pictures.", show_default=False),
    ],
    *,
    heads: Annotated[
        list[str] | None, typer.Option("--head", metavar="NAME", help="Head to ask; may be repeated.")
    ] = None,
    params: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="HEAD.NAME=VALUE", help="Parameter of a head's task; may be repeated."),
    ] = None,
    budgets: Annotated[
        list[str] | None,
        typer.Option(
            "--budget", metavar="[HEAD=]S", help="Seconds for each head, or for one; a late one fails alone."
        ),
    ] = None,
    may_lose: Annotated[
        float | None,
        typer.Option(
            "--may-lose",
            metavar="POINTS",
            min=0,
            max=100,
            help="Points of its figures that each head may lose, so that heads share a pass.",
            show_default="0",
        ),
    ] = None,
    json: Json = False,
    draw: Draw = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RESULTS.jsonl", help="Add a line for each picture; pictures with a line are left out."),
    ] = None,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Ask several heads about pictures. Each head answers or fails by itself; status 1 where one failed."""
    from trunkline.cli.ask import Asked
    from trunkline.cli.head_asks import head_asks
    from trunkline.cli.pictures import find_pictures
    from trunkline.client import Client

    if not heads:
        raise typer.BadParameter(
            "name each head to ask with --head NAME; those that are served are listed by: "
            f"trunkline models list --target {target}"
        )
    if out is not None and (draw is not None or json):
        raise typer.BadParameter("--out writes a file of JSON lines; leave out --json and --draw")
    asks = head_asks(heads, params or [], budgets or [])
    pictures = find_pictures(images)
    with Client(target) as client:

        def ask(wanted: Sequence[Path]) -> "Iterator[Asked[AnalyzeAnswer]]":
            keyed = ((picture, picture) for picture in wanted)
            for done in client.analyze_stream(keyed, asks, timeout_s=timeout, max_points_lost=may_lose):
                assert isinstance(done.key, Path)
                yield Asked(done.key, answer=done.answer, error=done.error)

        good = _show(ask, pictures, json=json, draw=draw) if out is None else _to_file(ask, pictures, heads, out)
    if not good:
        raise typer.Exit(1)


def _show(ask: "Ask", pictures: Sequence[Path], *, json: bool, draw: Path | None) -> bool:
    """Print the answers in the order of the pictures. Returns whether all heads answered about all pictures."""
    from trunkline.cli import analysis
    from trunkline.cli.ask import complain_about
    from trunkline.cli.interrupts import on_interrupt
    from trunkline.cli.output import print_json

    asked: list[Asked[AnalyzeAnswer]] = []
    with on_interrupt(lambda: f"stopped after {len(asked)} of {len(pictures)} pictures"):
        for each in _in_order(ask, pictures, shown=json):
            asked.append(each)
            if not json:
                analysis.show(each)
    if json:
        print_json([analysis.to_json(each) for each in asked])
    if draw is not None and analysis.draw(asked, draw) and not json:
        print(f"annotated picture: {draw}")
    heads_failed = [analysis.complain_about_heads(each) for each in asked]
    return not (complain_about(asked) or any(heads_failed))


def _to_file(ask: "Ask", pictures: Sequence[Path], heads: Sequence[str], out: Path) -> bool:
    """Add the answers to a file as they come. Returns whether all heads answered about all pictures of this run."""
    from trunkline.cli.analysis import to_json
    from trunkline.cli.interrupts import on_interrupt
    from trunkline.cli.output import complain
    from trunkline.cli.picture_bar import PictureBar
    from trunkline.cli.results_file import ResultsFile

    with ResultsFile(out, heads) as file:
        left = [picture for picture in pictures if str(picture) not in file.done]
        before, failed = len(pictures) - len(left), 0

        def how_far() -> str:
            there = sum(str(picture) in file.done for picture in pictures)
            return (
                f"stopped: {there} of {len(pictures)} pictures are in {out}; the same command goes on with the rest"
            )

        with on_interrupt(how_far), PictureBar(len(pictures), before) as bar:
            for each in ask(left) if left else ():
                file.add(to_json(each))
                failed += not _whole(each)
                bar.step(failed=not _whole(each))
    there = f", {before} were there" if before else ""
    complain(f"{out}: {len(left)} pictures asked about{there}, {failed} with a failure")
    return not failed


def _in_order(ask: "Ask", pictures: Sequence[Path], *, shown: bool) -> "Iterator[Asked[AnalyzeAnswer]]":
    """Each once all before it are there; where the service goes away, the rest with the error that says so."""
    from trunkline.cli.ask import Asked
    from trunkline.cli.picture_bar import PictureBar
    from trunkline.client import UnreachableError

    waiting: dict[Path, Asked[AnalyzeAnswer]] = {}
    left = deque(pictures)
    with PictureBar(len(pictures), 0, shown=shown and len(pictures) > 1) as bar:
        try:
            for each in ask(pictures):
                waiting[each.image] = each
                bar.step(failed=not _whole(each))
                while left and left[0] in waiting:
                    yield waiting.pop(left.popleft())
        except UnreachableError as gone:
            yield from (waiting.get(picture) or Asked(picture, error=gone) for picture in left)


def _whole(asked: "Asked[AnalyzeAnswer]") -> bool:
    return asked.answer is not None and all(outcome.error is None for outcome in asked.answer.outcomes)

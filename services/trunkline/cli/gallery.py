"""`trunkline gallery`: images that are known, searched for the nearest images or classes."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import DEFAULT_TARGET, Images, Json, Target, Timeout
from trunkline.cli.output import complain, console, megabytes, print_json, show_facts, table
from trunkline.cli.output import show as show_table
from trunkline.core.figures import percent
from trunkline.core.text import printable

if TYPE_CHECKING:
    from trunkline.client import Gallery, GalleryClient, GalleryMatch, SearchResult

app = typer.Typer(no_args_is_help=True, help="Keep images by their embeddings, and search them.")
Name = Annotated[str, typer.Argument(metavar="GALLERY", help="Name of the gallery.", show_default=False)]
_PAUSE_S = 0.5
_STATUSES = ("ADDED", "PRESENT", "REPLACED")


class By(StrEnum):
    IMAGES = "images"
    CLASSES = "classes"


@app.command("create")
def create(
    gallery: Name,
    head: Annotated[
        str, typer.Option(metavar="NAME", help="Similarity head that embeds the images.", show_default=False)
    ],
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=2,
            metavar="D",
            help="Largest distance of a match.",
            show_default="the head's calibrated one",
        ),
    ] = None,
    keep_images: Annotated[
        bool, typer.Option("--keep-images", help="Also keep the images, so that they can be embedded again.")
    ] = False,
    target: Target = DEFAULT_TARGET,
    json: Json = False,
) -> None:
    """Make an empty gallery."""
    with _client(target) as client:
        _show(client.create(gallery, head, threshold, keep_images=keep_images), json=json)


@app.command("add")
def add(
    gallery: Name,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE|DIR", help="Images, or folders with one folder per class.", show_default=False),
    ],
    label: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Class of all these images.", show_default="the folder of each"),
    ] = None,
    target: Target = DEFAULT_TARGET,
    json: Json = False,
) -> None:
    """Add images. The path below the folder that you name is the id; its first folder is the class.

    Images that are already there are not added again, so the same command continues an interrupted run.
    """
    from trunkline.cli.gallery_add import add_all

    with _client(target) as client:
        client.get(gallery)  # one that is not there is said once, before any picture is read
        answers = add_all(client, gallery, images, label)
    failed = [(printable(str(name)), answer.error) for name, answer in answers if answer.error is not None]
    counts = Counter(answer.status.value for _, answer in answers if answer.status is not None)
    if json:
        errors = [{"image": name, "reason": error.reason, "message": str(error)} for name, error in failed]
        print_json({**{name.lower(): counts[name] for name in _STATUSES}, "failed": errors})
    else:
        print(f"added {counts['ADDED']}, replaced {counts['REPLACED']}, there before {counts['PRESENT']}")
    for name, error in failed[:10]:
        complain(f"{name}: {error}")
    if failed:
        complain(f"{len(failed)} of {len(answers)} were not added")
        raise typer.Exit(1)


@app.command("search")
def search(
    gallery: Name,
    images: Images,
    by: Annotated[
        By, typer.Option("--by", metavar="images|classes", help="Search for classes or for single images.")
    ] = By.CLASSES,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, metavar="K", help="Number of matches.")] = 5,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=2, metavar="D", help="Largest distance of a match.", show_default="the gallery's"),
    ] = None,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
    json: Json = False,
) -> None:
    """Find the nearest classes (by mean embedding) or the nearest images."""
    from trunkline.client import ServiceError

    documents, failed = [], 0
    with _client(target, timeout) as client:
        for image in images:
            try:
                found = client.search(gallery, image, k, by.value, threshold)
            except (ServiceError, OSError) as error:
                if len(images) == 1:
                    raise
                complain(f"{image}: {error}")
                failed += 1
                continue
            if json:
                documents.append({"image": str(image), "gallery": gallery, **asdict(found)})
            else:
                _show_matches(image, found)
    if json:
        print_json(documents)
    if failed:
        raise typer.Exit(1)


@app.command("list")
def list_galleries(target: Target = DEFAULT_TARGET, json: Json = False) -> None:
    """List galleries."""
    with _client(target) as client:
        found = list(client.list())
    if json:
        print_json([_document(each) for each in found])
        return
    if not found:
        complain("there is no gallery; make one with: trunkline gallery create NAME --head HEAD")
        return
    made = table(
        "gallery", "head", "images", "classes", "re-embedding", right=("images", "classes"), text=("re-embedding",)
    )
    for each in found:
        made.add_row(each.name, each.head, str(each.images), str(each.classes), _reembedding(each))
    show_table(made)


@app.command("show")
def show(gallery: Name, target: Target = DEFAULT_TARGET, json: Json = False) -> None:
    """Show a gallery: its content, how it is searched, and whether its head has changed."""
    with _client(target) as client:
        _show(client.get(gallery), json=json)


@app.command("delete")
def delete(gallery: Name, target: Target = DEFAULT_TARGET) -> None:
    """Delete a gallery with all of its images."""
    with _client(target) as client:
        client.delete(gallery)
    print(f"gallery {gallery} deleted")


@app.command("remove")
def remove(
    gallery: Name,
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of images.", show_default=False)],
    target: Target = DEFAULT_TARGET,
    json: Json = False,
) -> None:
    """Remove images."""
    deleted = 0
    missing: list[str] = []
    with _client(target) as client:
        for start in range(0, len(ids), 1000):
            some, none = client.remove(gallery, ids[start : start + 1000])
            deleted += some
            missing += none
    if json:
        print_json({"deleted": deleted, "missing": missing})
    else:
        print(f"removed {deleted}")
    if missing:
        complain(f"there is no image {', '.join(missing[:10])} in gallery {gallery}")
        raise typer.Exit(1)


@app.command("reembed")
def reembed(
    gallery: Name,
    head: Annotated[str, typer.Option(metavar="NAME", help="Head to embed with.", show_default="the gallery's")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Wait until it is done, and show progress.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop a re-embedding that runs.")] = False,
    target: Target = DEFAULT_TARGET,
    json: Json = False,
) -> None:
    """Embed all images again, in the background; the gallery switches when all are done."""
    with _client(target) as client:
        found = client.cancel_reembedding(gallery) if cancel else client.reembed(gallery, head)
        if watch:
            found = _watch(client, gallery)
    _show(found, json=json)
    if watch and found.reembedding is not None and found.reembedding.state != "SUCCEEDED":
        complain(f"gallery {gallery} was not re-embedded: {found.reembedding.error or 'it was cancelled'}")
        raise typer.Exit(1)


@contextmanager
def _client(target: str, timeout_s: float = 30.0) -> Iterator["GalleryClient"]:
    from trunkline.client import GalleryClient

    with GalleryClient(target, timeout_s) as client:
        yield client


def _watch(client: "GalleryClient", gallery: str) -> "Gallery":
    from trunkline.cli.picture_bar import PictureBar

    found = client.get(gallery)
    state = found.reembedding
    if state is None:
        return found
    shown = state.done
    with PictureBar(state.total, shown) as bar:
        while state is not None and state.state == "RUNNING":
            time.sleep(_PAUSE_S)
            found = client.get(gallery)
            state = found.reembedding
            for _ in range(shown, state.done if state else shown):
                bar.step(failed=False)
            shown = max(shown, state.done if state else shown)
    return found


def _show(gallery: "Gallery", *, json: bool) -> None:
    if json:
        print_json(_document(gallery))
        return
    show_facts(_facts(gallery))


def _facts(gallery: "Gallery") -> Iterator[tuple[str, str]]:
    yield "gallery", gallery.name
    yield "head", gallery.head
    yield "space", gallery.space
    if gallery.head_space not in ("", gallery.space):
        yield "", f"its head embeds into {gallery.head_space} now: trunkline gallery reembed {gallery.name}"
    yield "images", f"{gallery.images} in {gallery.classes} classes, vectors of {gallery.dimension}"
    threshold = "none" if gallery.threshold is None else f"{gallery.threshold:.3g}"
    yield "threshold", threshold + (" (calibrated)" if gallery.threshold_is_calibrated else "")
    yield "pictures", "kept" if gallery.keep_images else "not kept"
    yield "index", _index(gallery)
    if gallery.reembedding is not None:
        yield "re-embedding", _reembedding(gallery)


def _index(gallery: "Gallery") -> str:
    index = gallery.index
    if not index.loaded:
        return "loaded with the first search"
    kind = "exact"
    if not index.exact:
        recall = "" if index.recall_at_10 is None else f", recall@10 {percent(index.recall_at_10)}"
        kind = f"approximate{recall}"
    return f"{kind}, {index.images} images, {megabytes(index.bytes)}"


def _reembedding(gallery: "Gallery") -> str:
    found = gallery.reembedding
    if found is None:
        return ""
    text = f"{found.state.value.lower()} {found.done}/{found.total} by {found.head}"
    return f"{text}: {found.error}" if found.error else text


def _document(gallery: "Gallery") -> dict[str, Any]:
    created = gallery.created_at.astimezone(UTC).isoformat(timespec="milliseconds")
    return {**asdict(gallery), "created_at": created}


def _show_matches(image: Path, found: "SearchResult") -> None:
    made = table("image", "class", "distance", "the same", "images", right=("distance", "the same", "images"))
    for each in found.matches:
        made.add_row(*_cells(each))
    out = console()
    out.print(str(image), style="bold")
    if found.nearest_rejected is not None:
        nearest = found.nearest_rejected
        name = nearest.id or nearest.label
        out.print(f"  unknown: the nearest is {name} at {nearest.distance:.3f}, beyond {found.threshold:.3f}")
    elif not found.matches:
        out.print("  the gallery is empty")
    else:
        show_table(made)
        if any(each.probability is not None for each in found.matches):
            out.print("  the same: how probable it is that both show the same thing, as the head was calibrated")
    out.print(f"  embedding {found.embed_ms:.1f} ms, search {found.search_ms:.1f} ms\n")


def _cells(found: "GalleryMatch") -> tuple[str, ...]:
    same = "" if found.probability is None else percent(found.probability)
    return found.id, found.label, f"{found.distance:.3f}", same, str(found.images)

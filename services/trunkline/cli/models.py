"""`trunkline models list` and `show`: what is in the model folder, or what a service offers."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import Json, Models, check_target
from trunkline.cli.output import complain, console, megabytes, print_json, show_facts, table
from trunkline.cli.output import show as show_table
from trunkline.core.figures import percent

if TYPE_CHECKING:
    from trunkline.client import ServedHead
    from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
    from trunkline.core.repository import Repository

    AnyBundle = Bundle[BackboneManifest] | Bundle[HeadManifest]

app = typer.Typer(
    no_args_is_help=True,
    help="Look at the models in the model folder, or at those of a service; say which version answers.",
)

Service = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="HOST:PORT",
        callback=check_target,
        help="Ask this running service instead of the model folder.",
    ),
]


@dataclass(frozen=True)
class Row:
    """A model in a list; facts are those of its default version. `fault` says why it cannot be used."""

    kind: str
    name: str
    versions: list[str]
    default: str | None = None
    task: str | None = None
    features: list[str] | None = None
    mode: str | None = None
    size_bytes: int | None = None
    fault: str = ""
    terms: str | None = None


@app.command("list")
def list_models(models: Models = None, target: Service = None, json: Json = False) -> None:
    """List backbones and heads."""
    rows = _served_rows(target) if target else _stored_rows(_repository(models))
    if json:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        complain("there are no models; make the first one with: trunkline backbone export")
        return
    made = table(
        "name", "task", "version", "others", "features", "mode", "terms", "size", "fault",
        right=("size",), text=("others", "features", "fault"),
    )  # fmt: skip
    for row in rows:
        made.add_row(
            row.name,
            row.task or row.kind,
            row.default or "",
            ", ".join(version for version in row.versions if version != row.default),
            " ".join(row.features or ()),
            row.mode or "",
            row.terms or "",
            megabytes(row.size_bytes),
            row.fault,
        )
    show_table(made)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Head or backbone, NAME or NAME/VERSION.")],
    models: Models = None,
    target: Service = None,
    json: Json = False,
) -> None:
    """Show the manifest and the card of a model. If a head and a backbone have the same name, the head is shown."""
    if target:
        _show_served(name, target, json)
        return
    bundle = _find(_repository(models), name)
    if json:
        print_json(_bundle_to_json(bundle))
    else:
        _show_facts(_bundle_facts(bundle))
        _show_card(bundle.card)


def _repository(models: str | None) -> "Repository":
    from trunkline.core.repository import Repository
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    return Repository(open_store(read_settings(models=models)).root)


def _stored_rows(repository: "Repository") -> list[Row]:
    return [_stored_row(repository, kind, name) for kind in ("backbone", "head") for name in repository.names(kind)]


def _stored_row(repository: "Repository", kind: str, name: str) -> Row:
    """A broken bundle becomes a row with its fault: it hides no other."""
    from trunkline.core.errors import ModelInvalidError

    versions = [str(version) for version in repository.versions(kind, name)]
    default = None
    try:
        default = _default(repository, kind, name)
        bundle = repository.backbone(name) if kind == "backbone" else repository.head(name, default)
    except ModelInvalidError as error:
        return Row(kind, name, versions, _text(default), fault=error.message)
    size = _size(bundle)
    fault = "" if size is not None else f"{bundle.model_path} is missing"
    facts = _task_features_mode(bundle)
    return Row(kind, name, versions, _text(default), *facts, size_bytes=size, fault=fault, terms=_terms(bundle))


def _default(repository: "Repository", kind: str, name: str) -> int:
    """The version that answers where none is named."""
    from trunkline.core.catalog import current_catalog

    if kind == "backbone":
        return repository.versions(kind, name)[-1]
    return current_catalog(repository.root, name).default


def _text(version: int | None) -> str | None:
    return None if version is None else str(version)


def _task_features_mode(bundle: "AnyBundle") -> tuple[str | None, list[str], str | None]:
    from trunkline.core.bundle import BackboneManifest

    manifest = bundle.manifest
    if isinstance(manifest, BackboneManifest):
        return None, [feature.name for feature in manifest.features], None
    return manifest.task, list(manifest.features), manifest.mode


def _terms(bundle: "AnyBundle") -> str | None:
    """Of a head; None for a backbone, whose licence says it."""
    from trunkline.core.bundle import HeadManifest
    from trunkline.core.terms import terms_text

    manifest = bundle.manifest
    return terms_text(manifest.terms) if isinstance(manifest, HeadManifest) else None


def _size(bundle: "AnyBundle") -> int | None:
    try:
        return bundle.model_path.stat().st_size
    except OSError:
        return None


def _find(repository: "Repository", name: str) -> "AnyBundle":
    from trunkline.core.errors import NotFoundError

    name, _, version = name.partition("/")
    if version and not version.isdigit():
        raise typer.BadParameter(f"{version!r} is not a version: write NAME or NAME/VERSION")
    number = int(version) if version else None
    if repository.versions("head", name):
        return repository.head(name, number or _default(repository, "head", name))
    if repository.versions("backbone", name):
        return repository.backbone(name, number)
    known = ", ".join(repository.names("head") + repository.names("backbone")) or "none"
    raise NotFoundError(f"there is no model {name!r} in {repository.root}; known: {known}")


def _bundle_to_json(bundle: "AnyBundle") -> dict[str, Any]:
    return {
        "kind": bundle.manifest.kind,
        "name": bundle.manifest.name,
        "version": str(bundle.manifest.version),
        "path": str(bundle.path),
        "size_bytes": _size(bundle),
        "labels": list(bundle.labels),
        "manifest": bundle.manifest.model_dump(mode="json"),
        "card": bundle.card,
    }


def _bundle_facts(bundle: "AnyBundle") -> dict[str, str]:
    from trunkline.core.bundle import BackboneManifest

    manifest = bundle.manifest
    facts = {"kind": manifest.kind, "name": manifest.name, "version": str(manifest.version)}
    if isinstance(manifest, BackboneManifest):
        facts["architecture"] = manifest.architecture
        facts["features"] = ", ".join(_feature_text(f.name, f.channels, f.stride) for f in manifest.features)
    else:
        facts |= {"task": manifest.task, "mode": manifest.mode, "features": ", ".join(manifest.features)}
        facts["backbone"] = f"{manifest.backbone.name}/{manifest.backbone.version}"
        facts["backbone digest"] = manifest.backbone.digest
        facts["labels"] = str(len(bundle.labels))
        facts["metrics"] = ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items())
        seen = manifest.evaluation
        facts["measured on"] = f"{seen.data} ({seen.split}), {seen.count} samples" if seen else ""
    spec = manifest.preprocess
    for variant in getattr(manifest, "variants", ()):
        lost = variant.points_lost(getattr(manifest, "metrics", {}))
        facts[f"under {variant.preprocess.words}"] = f"loses {lost:.1f} points"
    facts["preprocessing"] = f"{spec.resize} {spec.width}x{spec.height} {spec.colour} {spec.interpolation}"
    facts["digest"], facts["size"] = manifest.digest, megabytes(_size(bundle))
    facts["terms"] = _terms(bundle) or ""
    facts |= {"licence": manifest.origin.licence, "source": manifest.origin.source, "data": manifest.origin.data}
    return facts | {"folder": str(bundle.path)}


def _feature_text(name: str, channels: int, stride: int) -> str:
    return f"{name} ({channels} channels, stride {stride})" if stride else f"{name} ({channels} values)"


def _show_facts(facts: dict[str, str]) -> None:
    show_facts((name, value) for name, value in facts.items() if value)


def _show_card(text: str) -> None:
    out = console()
    if not text:
        out.print("  no CARD.md")
    elif out.is_terminal:
        from rich.markdown import Markdown

        out.print(Markdown(text))
    else:
        print(text)


def _served_rows(target: str) -> list[Row]:
    from trunkline.client import Client
    from trunkline.core.terms import UNKNOWN

    with Client(target) as client:
        heads = client.list_heads()
    return [
        Row(
            "head",
            head.name,
            sorted((head.version, *head.other_versions), key=int),
            head.version,
            head.task,
            list(head.features),
            head.mode,
            fault=head.fault or head.warning,
            terms=head.terms or UNKNOWN,
        )
        for head in heads
    ]


def _show_served(name: str, target: str, json: bool) -> None:
    from trunkline.client import Client

    with Client(target) as client:
        head = client.get_head(name)
    if json:
        print_json({"kind": "head", **asdict(head)})
    else:
        _show_facts(_served_facts(head))


def _served_facts(head: "ServedHead") -> dict[str, str]:
    from trunkline.core.terms import UNKNOWN

    return {
        "kind": "head",
        "name": head.name,
        "version": head.version,
        "task": head.task,
        "mode": head.mode,
        "terms": head.terms or UNKNOWN,
        "features": ", ".join(head.features),
        "backbone": head.backbone,
        "backbone digest": head.backbone_digest,
        "labels": str(len(head.labels)),
        "digest": head.digest,
        "ready": "yes" if head.ready else f"no: {head.fault}",
        **{f"under {each.spec}": f"loses {each.points_lost:.1f} points" for each in head.variants},
        "warning": head.warning,
        "other versions": ", ".join(head.other_versions),
        "aliases": ", ".join(f"{alias} {version}" for alias, version in sorted(head.aliases.items())),
        "canary": f"{head.canary_version}, {percent(head.canary_share)} of calls" if head.canary_version else "",
    }

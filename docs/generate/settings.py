"""docs/reference/settings.md, from the fields of Settings."""

import re

from docs.generate.tables import table
from trunkline.serving.settings import Settings

# In the order of the page; a name belongs to the group whose pattern fits it.
_TRAINING, _GALLERIES, _ADDRESSES = r"training_(?!address)", r"gallery_", r".*(address|addresses|origins)$"
_MODELS = r"(models|backbones?|heads|default_heads|terms|catalog|providers|allow_fallback)(_|$)"
_GROUPS = {
    "Addresses": rf"(?!{_TRAINING}|{_GALLERIES}){_ADDRESSES}",
    "Models": rf"(?!{_ADDRESSES}){_MODELS}",
    "Limits": rf"(?!{_TRAINING}|{_GALLERIES})(max_|request_|connection_|.*_mib$|.*_bytes$|stream_)",
    "Security": r"(tls_|auth$|access_file|insecure)",
    "Watching": rf"(?!{_ADDRESSES})(log|access|metrics|otel)_",
    "Galleries": _GALLERIES,
    "Training": _TRAINING,
}
_REST = "Computing and timing"
_INTRODUCTION = """\
# Settings

This page is generated from `services/trunkline/serving/settings.py` by `python -m docs.generate`.

A process reads its settings once, at start. The command line wins over the environment. Commas separate lists. An
address to listen on is HOST:PORT, with IPv6 in brackets: `[::]:8500` listens on both families. gRPC also takes
`unix:PATH`.
"""


def page() -> str:
    """The page, Markdown."""
    groups: dict[str, list[tuple[str, str, str]]] = {title: [] for title in (*_GROUPS, _REST)}
    for name in Settings.model_fields:
        groups[_group(name)].append(_row(name))
    parts = [f"## {title}\n\n{table(_HEADER, rows)}\n" for title, rows in groups.items() if rows]
    return "\n".join([_INTRODUCTION, *parts])


_HEADER = ("variable", "default", "meaning")


def _group(name: str) -> str:
    return next((title for title, pattern in _GROUPS.items() if re.match(pattern, name)), _REST)


def _row(name: str) -> tuple[str, str, str]:
    field = Settings.model_fields[name]
    text = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
    return f"`TRUNKLINE_{name.upper()}`", f"`{text}`" if text else "none", field.description or ""

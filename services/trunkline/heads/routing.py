"""Which of the versions at hand answer for a head: the catalog decides, as far as what it names can be loaded."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from trunkline.core.exchange import HeadInfo, Routes
from trunkline.core.models import HeadCatalog
from trunkline.heads.loading import FaultyHead, LoadedHead

Find = Callable[[int], LoadedHead | FaultyHead | None]


def route(catalog: HeadCatalog, find: Find, last: HeadInfo | None, kept: Find) -> HeadInfo | None:
    """The head as it is served: its default version with routes to the others; None where nothing of it is known.

    `find` knows the versions that are there, `kept` those that are still in memory. A version that cannot be loaded
    never replaces one that can: the version of the `last` routes stays, or the default before, and a warning says so.
    """
    chooser = _Chooser(find, kept)
    stand_ins = [] if last is None else [int(last.version)]
    stand_ins += [] if catalog.previous is None else [catalog.previous]
    default = chooser.choose("the default", catalog.default, stand_ins)
    if default is None:
        return None
    if default.fault:
        chooser.warnings.clear()  # the fault says it
    aliases = {}
    for alias, version in catalog.aliases.items():
        named = "" if last is None else last.routes.aliases.get(alias, "")
        chosen = chooser.choose(f"alias {alias!r}", version, [int(named)] if named else [])
        if chosen is not None:
            aliases[alias] = chosen
    canary, share = None, 0.0
    if catalog.canary is not None:
        canary = chooser.choose("the canary", catalog.canary.version, [])
        share = catalog.canary.share if canary is not None and not canary.fault else 0.0
    known = [info for info in map(chooser.info, catalog.in_use) if info is not None]
    others = {info.version: info for info in (*known, *aliases.values()) if info.version != default.version}
    routes = Routes(
        others=tuple(others.values()),
        canary=canary.version if canary is not None and share else "",
        canary_share=share,
        aliases={alias: info.version for alias, info in aliases.items()},
        warning="; ".join(chooser.warnings),
    )
    return replace(default, routes=routes)


def versions_of(head: HeadInfo) -> list[int]:
    """Every version that `head` routes to."""
    return [int(info.version) for info in (head, *head.routes.others)]


class _Chooser:
    def __init__(self, find: Find, kept: Find) -> None:
        self._find, self._kept = find, kept
        self.warnings: list[str] = []

    def info(self, version: int) -> HeadInfo | None:
        found = self._find(version)
        return found.info if found is not None else None

    def choose(self, what: str, wanted: int, stand_ins: Sequence[int]) -> HeadInfo | None:
        """The wanted version or, where it cannot answer, the first stand-in that can, with a warning."""
        found = self._find(wanted)
        if isinstance(found, LoadedHead):
            return found.info
        fault = found.error.message if found is not None else "it is not in the model folder"
        stand_in = next((head for head in map(self._kept, stand_ins) if isinstance(head, LoadedHead)), None)
        if stand_in is not None:
            self.warnings.append(f"{what} is version {wanted}, but {stand_in.info.version} answers: {fault}")
            return stand_in.info
        self.warnings.append(f"{what} is version {wanted}, which cannot answer: {fault}")
        return found.info if found is not None else None

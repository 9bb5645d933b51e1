"""Which backbones and which heads there are, and who answers for them."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from trunkline.core.errors import (
    BackboneMismatchError,
    ModelInvalidError,
    NotFoundError,
    ServiceUnavailableError,
    TermsError,
    TrunklineError,
)
from trunkline.core.exchange import BackboneInfo, FeatureSource, HeadInfo, HeadRunner
from trunkline.core.terms import allows_commerce, bar_text, terms_text
from trunkline.core.text import LONGEST_ECHO, listed, shown
from trunkline.serving.security.callers import finds, sees

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackboneEntry:
    """A backbone and the process that runs it."""

    info: BackboneInfo
    source: FeatureSource


@dataclass(frozen=True)
class HeadEntry:
    """A head, the process that runs it, and its backbone, None where nobody serves that."""

    info: HeadInfo
    runner: HeadRunner
    backbone: BackboneEntry | None = None


class Directory:
    """What every service said when it was last asked.

    A service that is down keeps its entries, so that its heads are UNAVAILABLE rather than unknown.
    """

    def __init__(
        self,
        sources: Sequence[FeatureSource],
        runners: Sequence[HeadRunner],
        default_heads: Sequence[str] = (),
        *,
        commercial: bool = False,
    ) -> None:
        """default_heads: those that answer where none is named and several of the task are served.

        commercial: whether only heads that may be used so are asked, whatever the services behind would serve.
        """
        self._commercial = commercial
        self._sources = tuple(sources)
        self._runners = tuple(runners)
        self._defaults = frozenset(default_heads)
        self._backbones_by_source: dict[int, Sequence[BackboneInfo]] = {}
        self._heads_by_runner: dict[int, Sequence[HeadInfo]] = {}
        self._silent: dict[int, str] = {}
        self._backbones: dict[str, BackboneEntry] = {}  # by digest
        self._entries: dict[str, HeadEntry] = {}
        self._kinds: dict[str, Callable[[str], tuple[HeadInfo, HeadRunner]]] = {}

    def add_kind(self, kind: str, find: Callable[[str], tuple[HeadInfo, HeadRunner]]) -> None:
        """Who answers for KIND:NAME is whom `find` names for NAME; it raises as find() does. They are not listed."""
        self._kinds[kind] = find

    @property
    def complete(self) -> bool:
        """Whether every backbone service and every head service have answered at least once."""
        return len(self._backbones_by_source) == len(self._sources) and len(self._heads_by_runner) == len(
            self._runners
        )

    @property
    def usable(self) -> bool:
        """Whether at least one backbone service and one head service have answered."""
        return bool(self._backbones_by_source) and bool(self._heads_by_runner)

    def backbones(self) -> list[BackboneEntry]:
        """Each that is served, in order of name and version."""
        return sorted(self._backbones.values(), key=lambda entry: (entry.info.name, int(entry.info.version)))

    def backbones_answering(self) -> dict[str, bool]:
        """For each name of a backbone, whether a service of one of its versions answered when it was last asked."""
        found: dict[str, bool] = {}
        for entry in self._backbones.values():
            found[entry.info.name] = found.get(entry.info.name, False) or id(entry.source) not in self._silent
        return found

    def check(self, entry: HeadEntry) -> BackboneEntry:
        """The backbone of a head that can answer, before a pass is spent on it.

        Raises TermsError, BackboneMismatchError where nobody serves its backbone, ServiceUnavailableError where not
        every service has said what it serves, ModelInvalidError.
        """
        info = entry.info
        if info.barred:
            raise TermsError.barred(info.name, terms_text(info.terms))
        if entry.backbone is None:
            if len(self._backbones_by_source) < len(self._sources):
                raise ServiceUnavailableError(
                    f"backbone {info.backbone} of head {info.name!r} is not known yet, as not every backbone service "
                    "has answered: try again",
                    service="backbone",
                )
            served = {each.info.label: each.info.digest for each in self.backbones()}
            raise BackboneMismatchError.unserved(info.name, info.backbone, info.backbone_digest, served)
        if info.fault:
            raise ModelInvalidError(f"head {info.name!r} cannot answer: {info.fault}", head=info.name)
        return entry.backbone

    def heads(self) -> list[HeadInfo]:
        """All heads that the current caller sees, in order of name."""
        return [self._entries[name].info for name in self._seen()]

    def _seen(self) -> list[str]:
        return sorted(filter(sees, self._entries))

    def answering(self) -> dict[str, bool]:
        """For each head that is served: its service answered when last asked, it has a backbone and no fault."""
        return {
            name: id(entry.runner) not in self._silent and not entry.info.fault and entry.backbone is not None
            for name, entry in self._entries.items()
            if not entry.info.barred
        }

    def resolve(self, asked: str) -> HeadEntry:
        """Who answers for NAME, NAME/VERSION or NAME@ALIAS; for NAME, a canary gets its share of the calls.

        Raises NotFoundError that lists what there is, ServiceUnavailableError where that is not known yet.
        """
        entry = self.find(asked)
        routes = entry.info.routes
        if asked != entry.info.name or not routes.canary or random.random() >= routes.canary_share:
            return entry
        canary = next((other for other in routes.others if other.version == routes.canary), None)
        # A trial costs no call: one that cannot answer here leaves its share to the default version.
        if canary is None or canary.fault or canary.backbone_digest not in self._backbones:
            return entry
        return self.entry(canary, entry.runner)

    def find(self, asked: str) -> HeadEntry:
        """The version that NAME (the default one), NAME/VERSION or NAME@ALIAS means. Raises NotFoundError."""
        kind, colon, named = asked.partition(":")
        if colon and kind in self._kinds:
            return self.entry(*self._kinds[kind](named))
        name, mark, rest = _parts(asked)
        entry = self._named(name)
        info = entry.info
        if not mark:
            return entry
        version = info.routes.aliases.get(rest) if mark == "@" else rest
        found = next((each for each in (info, *info.routes.others) if each.version == version), None)
        if found is not None:
            return self.entry(found, entry.runner)
        if mark == "@":
            known = listed(sorted(info.routes.aliases))
            raise NotFoundError(
                f"head {name!r} has no alias {shown(rest)!r}; aliases: {known}", head=name, alias=rest
            )
        known = listed(sorted((each.version for each in (info, *info.routes.others)), key=int))
        raise NotFoundError(
            f"head {name!r} serves no version {shown(rest)!r}; served: {known}", head=name, version=rest
        )

    def _named(self, name: str) -> HeadEntry:
        entry = self._entries.get(name)
        if entry is not None and finds(name):
            return entry
        if not self.complete:
            raise ServiceUnavailableError(
                f"head {shown(name)!r} is not known yet, as not every head service has answered"
            )
        seen = self._seen()
        like = get_close_matches(name[:LONGEST_ECHO], seen, 1)
        hint = f"did you mean {like[0]}? " if like else ""
        known = listed(seen)
        raise NotFoundError(f"there is no head {shown(name)!r}; {hint}heads served: {known}", head=name)

    def default_head_of(self, task: str) -> HeadEntry:
        """The one head of a task, or of several the one among the default heads. Raises NotFoundError."""
        of_task = [info for info in self.heads() if info.task == task]
        found = [info.name for info in of_task if not info.barred] or [info.name for info in of_task]
        preferred = found if len(found) == 1 else [name for name in found if name in self._defaults]
        if len(preferred) == 1:
            return self.resolve(preferred[0])
        if not found and not self.complete:
            raise ServiceUnavailableError(f"no {task} head is known yet: not every head service has answered")
        if not found:
            raise NotFoundError(f"no {task} head is served; ListHeads lists what is", task=task)
        raise NotFoundError(f"several {task} heads are served ({listed(found)}): name one", task=task)

    async def refresh(self) -> None:
        """Ask every service once, side by side; those that do not answer keep what they last said."""
        sources = (self._ask(source, self._backbones_by_source) for source in self._sources)
        runners = (self._ask(runner, self._heads_by_runner) for runner in self._runners)
        await asyncio.gather(*sources, *runners)
        served = [
            BackboneEntry(info, source)
            for source in self._sources
            for info in self._backbones_by_source.get(id(source), ())
        ]
        # Of several services with the same backbone the first one that answers: what is set last stays.
        served.sort(key=lambda entry: id(entry.source) not in self._silent)
        self._backbones = {entry.info.digest: entry for entry in served}
        self._entries = {
            info.name: self.entry(self._last_usable(self._allowed(info)), runner)
            for runner in self._runners
            for info in self._heads_by_runner.get(id(runner), ())
        }

    def _allowed(self, info: HeadInfo) -> HeadInfo:
        if not self._commercial:
            return info
        others = tuple(map(_barred, info.routes.others))
        return _barred(
            info if others == info.routes.others else replace(info, routes=replace(info.routes, others=others))
        )

    def entry(self, info: HeadInfo, runner: HeadRunner) -> HeadEntry:
        """A version of a head with its backbone, as that is served now."""
        return HeadEntry(info, runner, self._backbones.get(info.backbone_digest))

    def _last_usable(self, info: HeadInfo) -> HeadInfo:
        """The default version before, where that can be asked and nobody serves the backbone of the new one yet.

        Head and backbone services see a change of the catalog each in its own time.
        """
        before = self._entries.get(info.name)
        if before is None or info.backbone_digest in self._backbones or info.fault:
            return info
        if before.info.backbone_digest not in self._backbones:
            return info
        others = {each.version: each for each in (*info.routes.others, info)}
        others.pop(before.info.version, None)
        warning = (
            f"the default is version {info.version}, but {before.info.version} answers: its backbone {info.backbone} "
            "is not served"
        )
        routes = replace(info.routes, others=tuple(others.values()), warning=warning)
        return replace(before.info, routes=routes)

    async def _ask(self, service: FeatureSource | HeadRunner, known: dict[int, Any]) -> None:
        try:
            known[id(service)] = await service.describe()
        except TrunklineError as error:
            if id(service) not in self._silent:
                answered = id(service) in known
                _log.log(logging.WARNING if answered else logging.INFO, "%s%s", error, "" if answered else " so far")
            self._silent[id(service)] = str(error)
        else:
            self._silent.pop(id(service), None)

    def missing(self) -> list[str]:
        """What is wrong with the services that do not answer."""
        return list(self._silent.values())


def _barred(info: HeadInfo) -> HeadInfo:
    """The same, where its terms allow no commercial use with that as its fault."""
    if allows_commerce(info.terms) or info.barred:
        return info
    return replace(info, fault=bar_text(info.terms), barred=True)


def _parts(asked: str) -> tuple[str, str, str]:
    """Name, mark ("/", "@" or "") and what follows the mark; a name has neither of them."""
    for mark in "/@":
        name, found, rest = asked.partition(mark)
        if found:
            return name, mark, rest
    return asked, "", ""

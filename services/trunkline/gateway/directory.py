"""Which backbone and which heads there are, and who answers for them."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from trunkline.core.errors import NotFoundError, ServiceUnavailableError, TrunklineError
from trunkline.core.exchange import BackboneInfo, FeatureSource, HeadInfo, HeadRunner
from trunkline.core.text import LONGEST_ECHO, listed, shown

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadEntry:
    """A head and the process that runs it."""

    info: HeadInfo
    runner: HeadRunner


class Directory:
    """What every service said when it was last asked.

    A service that is down keeps its entry, so that its heads are UNAVAILABLE rather than unknown.
    """

    def __init__(
        self, backbone: FeatureSource, runners: Sequence[HeadRunner], default_heads: Sequence[str] = ()
    ) -> None:
        """default_heads: those that answer where none is named and several of the task are served."""
        self.source = backbone
        self._runners = tuple(runners)
        self._defaults = frozenset(default_heads)
        self._backbone: BackboneInfo | None = None
        self._heads_by_runner: dict[int, Sequence[HeadInfo]] = {}
        self._silent: dict[int, str] = {}
        self._entries: dict[str, HeadEntry] = {}
        self._kinds: dict[str, Callable[[str], tuple[HeadInfo, HeadRunner]]] = {}

    def add_kind(self, kind: str, find: Callable[[str], tuple[HeadInfo, HeadRunner]]) -> None:
        """Who answers for KIND:NAME is whom `find` names for NAME; it raises as find() does. They are not listed."""
        self._kinds[kind] = find

    @property
    def backbone(self) -> BackboneInfo:
        """Raises ServiceUnavailableError where the backbone has never answered."""
        if self._backbone is None:
            raise ServiceUnavailableError("the backbone service has not answered yet: try again", service="backbone")
        return self._backbone

    @property
    def complete(self) -> bool:
        """Whether the backbone and every head service have answered at least once."""
        return self._backbone is not None and len(self._heads_by_runner) == len(self._runners)

    @property
    def usable(self) -> bool:
        """Whether the backbone and at least one head service have answered."""
        return self._backbone is not None and bool(self._heads_by_runner)

    def heads(self) -> list[HeadInfo]:
        """All heads, in order of name."""
        return [self._entries[name].info for name in sorted(self._entries)]

    def answering(self) -> dict[str, bool]:
        """For each head, whether its service answered when it was last asked and the head has no fault."""
        return {
            name: id(entry.runner) not in self._silent and not entry.info.fault
            for name, entry in self._entries.items()
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
        if (
            canary is None
            or canary.fault
            or self._backbone is None
            or canary.backbone_digest != self._backbone.digest
        ):
            return entry
        return HeadEntry(canary, entry.runner)

    def find(self, asked: str) -> HeadEntry:
        """The version that NAME (the default one), NAME/VERSION or NAME@ALIAS means. Raises NotFoundError."""
        kind, colon, named = asked.partition(":")
        if colon and kind in self._kinds:
            return HeadEntry(*self._kinds[kind](named))
        name, mark, rest = _parts(asked)
        entry = self._named(name)
        info = entry.info
        if not mark:
            return entry
        version = info.routes.aliases.get(rest) if mark == "@" else rest
        found = next((each for each in (info, *info.routes.others) if each.version == version), None)
        if found is not None:
            return HeadEntry(found, entry.runner)
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
        if entry is not None:
            return entry
        if not self.complete:
            raise ServiceUnavailableError(
                f"head {shown(name)!r} is not known yet, as not every head service has answered"
            )
        like = get_close_matches(name[:LONGEST_ECHO], self._entries, 1)
        hint = f"did you mean {like[0]}? " if like else ""
        known = listed(sorted(self._entries))
        raise NotFoundError(f"there is no head {shown(name)!r}; {hint}heads served: {known}", head=name)

    def default_head_of(self, task: str) -> HeadEntry:
        """The one head of a task, or of several the one among the default heads. Raises NotFoundError."""
        found = [info.name for info in self.heads() if info.task == task]
        preferred = found if len(found) == 1 else [name for name in found if name in self._defaults]
        if len(preferred) == 1:
            return self.resolve(preferred[0])
        if not found and not self.complete:
            raise ServiceUnavailableError(f"no {task} head is known yet, as not every head service has answered")
        if not found:
            raise NotFoundError(f"no {task} head is served; ListHeads says what is", task=task)
        raise NotFoundError(f"several {task} heads are served ({listed(found)}): name one", task=task)

    async def refresh(self) -> None:
        """Ask every service once, side by side; those that do not answer keep what they last said."""
        await asyncio.gather(self._ask_backbone(), *(self._ask(runner) for runner in self._runners))
        self._entries = {
            info.name: HeadEntry(info, runner)
            for runner in self._runners
            for info in self._heads_by_runner.get(id(runner), ())
        }

    async def _ask_backbone(self) -> None:
        with contextlib.suppress(TrunklineError):
            self._backbone = await self.source.describe()

    async def _ask(self, runner: HeadRunner) -> None:
        try:
            self._heads_by_runner[id(runner)] = await runner.describe()
        except TrunklineError as error:
            if id(runner) not in self._silent:
                known = id(runner) in self._heads_by_runner
                _log.log(logging.WARNING if known else logging.INFO, "%s%s", error, "" if known else " so far")
            self._silent[id(runner)] = str(error)
        else:
            self._silent.pop(id(runner), None)

    def missing(self) -> list[str]:
        """What is wrong with the services that do not answer."""
        return list(self._silent.values())


def _parts(asked: str) -> tuple[str, str, str]:
    """Name, mark ("/", "@" or "") and what follows the mark; a name has neither of them."""
    for mark in "/@":
        name, found, rest = asked.partition(mark)
        if found:
            return name, mark, rest
    return asked, "", ""

"""Under which spec each head of a call is answered: the cheapest passes that lose no more than the call allows."""

import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from trunkline.core.errors import InvalidRequestError, TrunklineError
from trunkline.core.exchange import IMAGE, HeadInfo
from trunkline.gateway.answers import HeadRequest, Outcome
from trunkline.gateway.cheapest import Option, cheapest, total
from trunkline.gateway.costs import Costs
from trunkline.gateway.directory import HeadEntry
from trunkline.gateway.passes import SharedPass

Question = tuple[HeadRequest, HeadEntry | TrunklineError]
_SPACES = "similarity"  # the task whose answers are compared with those of other calls
# What another plan than each head at its best must save, of what the passes cost then: below, nobody would notice it,
# and heads would change their answers for nothing.
_LEAST_SAVED = 0.05
_ROUNDING = 1e-9
_MOST_KEPT = 256  # plans


@dataclass(frozen=True)
class _Plan:
    """For these heads, whose objects it keeps, so that no other has their ids; by the costs after so many changes."""

    heads: tuple[HeadInfo, ...]
    chosen: tuple[HeadInfo, ...]
    changes: int


class Planner:
    """Plans by what passes and heads cost, which it is told of calls that had a choice. For one event loop."""

    def __init__(self) -> None:
        self.costs = Costs()
        self._plans: OrderedDict[Hashable, _Plan] = OrderedDict()

    def planned(self, questions: Sequence[Question], max_points_lost: float | None) -> list[Question]:
        """The same questions, some of them to heads under other specs. None allows no point, and keeps embeddings in
        the space of their head: 0 does not.
        """
        entries = [entry for _, entry in questions if isinstance(entry, HeadEntry)]
        chosen = iter(self._plan(entries, max_points_lost).chosen)
        return [
            (ask, _under(entry, next(chosen)) if isinstance(entry, HeadEntry) else entry) for ask, entry in questions
        ]

    def ended(self, questions: Sequence[Question], outcomes: Sequence[Outcome], passes: Sequence[SharedPass]) -> None:
        """What a planned call took."""
        for shared in passes:
            if shared.found is not None:
                self.costs.passed(shared.backbone.info.digest, shared.spec, shared.found)
        for (_, entry), outcome in zip(questions, outcomes, strict=True):
            if isinstance(entry, HeadEntry) and outcome.answer is not None:
                self.costs.answered(entry.info, outcome.answer.head_ms - outcome.answer.queue_ms)

    def _plan(self, entries: Sequence[HeadEntry], max_points_lost: float | None) -> _Plan:
        key = (max_points_lost, *(id(entry.info) for entry in entries))
        plan = self._plans.get(key)
        if plan is None or plan.changes != self.costs.changes:
            plan = self._made(entries, max_points_lost)
            self._plans[key] = plan
            if len(self._plans) > _MOST_KEPT:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return plan

    def _made(self, entries: Sequence[HeadEntry], max_points_lost: float | None) -> _Plan:
        allowed = max_points_lost or 0.0
        infos = [_usable(entry.info, max_points_lost) for entry in entries]
        bare = [[self._option(entry, info) for info in usable] for entry, usable in zip(entries, infos, strict=True)]
        passes = [[replace(options[0], cost=0.0)] for options in bare]
        usual = total(passes, [0] * len(passes), self._price)
        # Shares of what is saved at least: half for leaving its own spec, half for the points.
        worth = _LEAST_SAVED * usual / max(1, len(entries))
        heads = [
            [
                replace(option, cost=option.cost + worth * _dearer(info, allowed))
                for option, info in zip(options, usable, strict=True)
            ]
            for options, usable in zip(bare, infos, strict=True)
        ]
        places = cheapest(heads, self._price)
        chosen = tuple(usable[place] for usable, place in zip(infos, places, strict=True))
        return _Plan(tuple(entry.info for entry in entries), chosen, self.costs.changes)

    def _option(self, entry: HeadEntry, info: HeadInfo) -> Option:
        if entry.backbone is None:
            raise ValueError(f"no backbone is served for head {info.name}")
        cost = self.costs.head_ms(info, entry.backbone.info)
        return Option((info.backbone_digest, info.spec), info.features != (IMAGE,), cost)

    def _price(self, key: Hashable, full: bool) -> float:
        assert isinstance(key, tuple)
        backbone, spec = key
        return self.costs.decode_ms(spec) + (self.costs.pass_ms(backbone, spec) if full else 0.0)


def has_choice(questions: Sequence[Question], max_points_lost: float | None) -> bool:
    """Whether any head may be answered under several specs; most calls end here, and pay for nothing else."""
    return any(
        isinstance(entry, HeadEntry) and entry.info.variants and len(_usable(entry.info, max_points_lost)) > 1
        for _, entry in questions
    )


def checked_points(value: float | None) -> float | None:
    """The same. Raises InvalidRequestError for what is no number of points from 0 to 100."""
    if value is None or (math.isfinite(value) and 0 <= value <= 100):
        return value
    raise InvalidRequestError(f"max_points_lost is {value:g}; it is a number of points from 0 to 100, such as 2")


def _usable(info: HeadInfo, max_points_lost: float | None) -> list[HeadInfo]:
    """The head under its own spec, first, and under those that lose no more than is allowed."""
    if info.task == _SPACES and max_points_lost is None:
        return [info]
    allowed = (max_points_lost or 0.0) + _ROUNDING
    return [info, *(variant for variant in info.variants if variant.points_lost <= allowed)]


def _under(entry: HeadEntry, info: HeadInfo) -> HeadEntry:
    return entry if info is entry.info else HeadEntry(info, entry.runner, entry.backbone)


def _dearer(info: HeadInfo, allowed: float) -> float:
    """0 for a head under its own spec, up to 1 for one that loses all that is allowed."""
    if not info.variant:
        return 0.0
    return 0.5 + 0.5 * (min(1.0, info.points_lost / allowed) if allowed else 0.0)

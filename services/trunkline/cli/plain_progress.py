"""How far a long run is, where standard error is no terminal: a line now and then."""

import time
from typing import Final

from trunkline.cli.output import complain

_EVERY_S: Final = 10.0
_A_STAGE_S: Final = 2.0  # shorter stages have no line of their own
_OUTER: Final = {"steps": "epochs"}  # steps need a line only while no epoch ends


class PlainProgress:
    """Prints a line each ten seconds at most, and one where a stage begins; a short run prints none."""

    def __init__(self, *, phases: bool = False) -> None:
        """phases: whether each stage has a last line, how short it may be."""
        self._last_at, self._seen, self._phases, self._unsaid = time.monotonic(), set[str](), phases, ""
        self._told_at: dict[str, float] = {}

    def tell(self, stage: str, done: int, total: int | None, more: str = "") -> None:
        """stage: what is done, such as "features". more: what else there is to say."""
        now, begins = time.monotonic(), stage not in self._seen
        outer_at = self._told_at.get(_OUTER.get(stage, ""))
        if outer_at is not None and now - outer_at < _EVERY_S:
            return
        self._told_at[stage] = now
        if begins:
            self.end()
        self._seen.add(stage)
        of = "" if total is None else f" of {total:,}"
        self._unsaid = f"{stage}: {more}{', ' if more else ''}{done:,}{of}"
        if now - self._last_at >= (_A_STAGE_S if begins else _EVERY_S):
            self._say(now)

    def end(self) -> None:
        """The stage that was told last is over."""
        if self._phases and self._unsaid:
            self._say(time.monotonic())

    def _say(self, now: float) -> None:
        complain(self._unsaid)
        self._last_at, self._unsaid = now, ""

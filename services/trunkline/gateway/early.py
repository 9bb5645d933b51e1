"""Heads that answer on the thread that made the features, where the way to another would cost more than they do."""

import time
from collections.abc import Mapping

from trunkline.core.exchange import EarlyAnswer, Features, Shortcut
from trunkline.core.shrink import LARGE_PIXELS
from trunkline.gateway.answers import Ask
from trunkline.gateway.directory import HeadEntry

# So long one thread goes on with the heads of its pass; those that are left are better off side by side.
_MOST_S = 0.005


class EarlyAnswers:
    """What a pass is followed by, on its thread: the `then` of its request."""

    def __init__(self, shortcuts: Mapping[str, tuple[HeadEntry, Shortcut]]) -> None:
        """By the name that was asked for, in the order in which they are taken."""
        self._shortcuts = shortcuts
        self._found: dict[str, EarlyAnswer] = {}

    def __call__(self, features: Features) -> None:
        if features.frame.image_width * features.frame.image_height > LARGE_PIXELS:
            return  # what was quick about others may not be so about this one
        now = time.perf_counter()
        ends_at = now + _MOST_S
        for asked, (entry, shortcut) in self._shortcuts.items():
            if now > ends_at:
                return
            if any(name not in features.arrays for name in entry.info.features):
                continue  # what was kept of another pass is not among them
            answer = error = None
            try:
                answer = shortcut(features)
            except Exception as raised:  # raised again where the head is asked
                error = raised
            began_at, now = now, time.perf_counter()
            self._found[asked] = EarlyAnswer(answer, error, now - began_at)

    def get(self, ask: Ask) -> EarlyAnswer | None:
        """Once the features are there."""
        return self._found.get(ask.head)

"""Quick heads answer on the thread that made their features: the way to another would cost more than they do."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trunkline.core.exchange import Features, QuickAnswer, QuickHead
from trunkline.core.shrink import LARGE_PIXELS

# So long one thread goes on with the heads of its pass; those that are left are better off side by side.
_MOST_S = 0.005


def with_answers(found: Features, heads: Sequence[QuickHead]) -> Features:
    """The features with the answers of these heads, in their order, as far as there is time. Raises nothing."""
    if not heads or found.frame.image_width * found.frame.image_height > LARGE_PIXELS:
        return found  # what was quick about others may not be so about a large one
    return replace(found, answers=dict(_answers(found, heads)))


# An error keeps the frames that it went through: none of them has what keeps the error.
def _answers(found: Features, heads: Sequence[QuickHead]) -> Iterator[tuple[str, QuickAnswer]]:
    ends_at = time.perf_counter() + _MOST_S
    for head in heads:
        if time.perf_counter() > ends_at:
            return
        if all(name in found.arrays for name in head.info.features):  # what was kept of another pass is not there
            yield head.asked, _answer(head, found)


def _answer(head: QuickHead, found: Features) -> QuickAnswer:
    began_at = time.perf_counter()
    try:
        answer = head.answer(found)
    except Exception as error:  # raised again for who asked
        return QuickAnswer(head.info, None, error, time.perf_counter() - began_at)
    return QuickAnswer(head.info, answer, None, time.perf_counter() - began_at)

"""The cheapest set of passes that serves every head of a call, when heads may be answered from several."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

# Sets are tried one by one as long as there are no more than so many of them, times heads that have a choice: about
# 5 ms, once for the same heads. Beyond, one pass after the other takes the heads that it makes cheaper.
_MOST_TRIALS = 16_384
_MOST_CANDIDATES = 8  # passes that are looked at then, those that most heads can use


@dataclass(frozen=True)
class Option:
    """A pass that a head can be answered from. full: whether it needs features of the backbone, not pixels alone.

    cost: of the head then, in the unit of the price of a pass.
    """

    key: Hashable
    full: bool
    cost: float


Price = Callable[[Hashable, bool], float]  # of a pass, or of its pixels alone
_Element = tuple[Hashable, bool]


def cheapest(heads: Sequence[Sequence[Option]], price: Price) -> list[int]:
    """The place of the chosen option of each head, so that passes and heads together cost least.

    The first option of each head is the usual one: where others are not cheaper, it stays. Where there are few passes
    to choose from, no sum is smaller; beyond, a smaller one may be missed.
    """
    elements = _free_elements(heads)
    if 2 ** len(elements) * len(heads) > _MOST_TRIALS:
        return _greedy(heads, price)
    best, best_cost = [0] * len(heads), total(heads, [0] * len(heads), price)
    for chosen in _found_by_sets(heads, elements):
        cost = total(heads, chosen, price)
        if cost < best_cost * (1 - 1e-9):
            best, best_cost = chosen, cost
    return best


def total(heads: Sequence[Sequence[Option]], chosen: Sequence[int], price: Price) -> float:
    """What passes and heads cost with these options."""
    used: dict[Hashable, bool] = {}
    cost = 0.0
    for options, place in zip(heads, chosen, strict=True):
        option = options[place]
        used[option.key] = used.get(option.key, False) or option.full
        cost += option.cost
    return cost + sum(price(key, full) for key, full in used.items())


def _free_elements(heads: Sequence[Sequence[Option]]) -> list[_Element]:
    """Passes that may be made or not: those of heads with a choice, but for what others need in any case."""
    fixed = {(options[0].key, options[0].full) for options in heads if len(options) == 1}
    free = dict.fromkeys((each.key, each.full) for options in heads if len(options) > 1 for each in options)
    return [element for element in free if element not in fixed and (element[0], True) not in fixed]


def _found_by_sets(heads: Sequence[Sequence[Option]], elements: Sequence[_Element]) -> Iterator[list[int]]:
    """For each set of passes that can serve all heads, the cheapest option of each head among them."""
    bits = {element: 1 << place for place, element in enumerate(elements)}
    # Of each head, cheapest first: where the option is, and the bits of which one must be set; None for always.
    sorted_options = [[(at, _needed(options[at], bits)) for at in _by_cost(options)] for options in heads]
    for made in range(1 << len(elements)):
        chosen = []
        for options in sorted_options:
            found = next((place for place, needed in options if needed is None or needed & made), None)
            if found is None:
                break
            chosen.append(found)
        else:
            yield chosen


def _by_cost(options: Sequence[Option]) -> list[int]:
    return sorted(range(len(options)), key=lambda place: options[place].cost)


def _needed(option: Option, bits: dict[_Element, int]) -> int | None:
    """Pixels come with a pass of the same key too."""
    wanted = [(option.key, True)] if option.full else [(option.key, False), (option.key, True)]
    found = sum(bits.get(element, 0) for element in wanted)
    return found if all(element in bits for element in wanted[:1]) else None


def _greedy(heads: Sequence[Sequence[Option]], price: Price) -> list[int]:
    chosen = [0] * len(heads)
    cost = total(heads, chosen, price)
    users: dict[Hashable, int] = {}
    for options in heads:
        for key in {option.key for option in options}:
            users[key] = users.get(key, 0) + 1
    left = sorted(users, key=lambda key: -users[key])[:_MOST_CANDIDATES]
    while left:
        trials = [(_moved(heads, chosen, key), key) for key in left]
        found, key = min(trials, key=lambda trial: total(heads, trial[0], price))
        if not total(heads, found, price) < cost * (1 - 1e-9):
            break
        chosen, cost = found, total(heads, found, price)
        left.remove(key)
    return chosen


def _moved(heads: Sequence[Sequence[Option]], chosen: Sequence[int], key: Hashable) -> list[int]:
    """Every head that can use this pass does."""
    return [
        next((at for at, option in enumerate(options) if option.key == key), place)
        for options, place in zip(heads, chosen, strict=True)
    ]

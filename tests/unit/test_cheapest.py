"""The cheapest passes for the heads of a call: never dearer than the best of all choices, nor than the usual one."""

import itertools
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.gateway.cheapest import Option, cheapest, total

KEYS = "abcde"
PRICES = st.fixed_dictionaries(
    {key: st.tuples(st.integers(0, 9), st.integers(0, 60)) for key in KEYS}  # of pixels, and of the backbone beside
)
OPTIONS = st.builds(Option, st.sampled_from(KEYS), st.booleans(), st.integers(0, 40).map(float))


def price_of(prices):
    return lambda key, full: float(prices[key][0] + (prices[key][1] if full else 0))


def least(heads, price):
    """By trying every choice."""
    places = itertools.product(*(range(len(options)) for options in heads))
    return min(total(heads, chosen, price) for chosen in places)


@settings(max_examples=400, deadline=None)
@given(heads=st.lists(st.lists(OPTIONS, min_size=1, max_size=3), min_size=1, max_size=5), prices=PRICES)
def test_no_choice_costs_less(heads, prices):
    price = price_of(prices)
    assert total(heads, cheapest(heads, price), price) <= least(heads, price) * (1 + 1e-9)


def test_heads_with_one_pass_in_common_share_it():
    price = price_of({"a": (1, 8), "b": (1, 27), "c": (1, 40), "d": (0, 0), "e": (0, 0)})
    heads = [
        [Option("a", True, 0.3), Option("b", True, 0.3)],
        [Option("a", True, 0.3), Option("b", True, 0.3)],
        [Option("b", True, 30.0)],
    ]
    assert cheapest(heads, price) == [1, 1, 0]
    assert cheapest([*heads, [Option("a", True, 5.0)]], price) == [0, 0, 0, 0]  # both passes are made in any case


def test_the_usual_choice_stays_where_no_other_is_cheaper():
    price = price_of({"a": (1, 8), "b": (1, 8), "c": (0, 0), "d": (0, 0), "e": (0, 0)})
    assert cheapest([[Option("b", True, 1.0), Option("a", True, 1.0)]], price) == [0]


def test_pixels_come_with_a_pass():
    price = price_of({"a": (2, 50), "b": (3, 0), "c": (0, 0), "d": (0, 0), "e": (0, 0)})
    heads = [[Option("a", True, 1.0)], [Option("b", False, 1.0), Option("a", False, 1.0)]]
    assert cheapest(heads, price) == [0, 1]
    assert cheapest(heads[1:], price) == [1]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_many_heads_with_many_specs_are_planned_in_a_moment_and_never_dearer_than_usual(data):
    seed = data.draw(st.randoms(use_true_random=False))
    heads = [
        [Option(seed.randrange(80), True, seed.uniform(0, 30)) for _ in range(seed.randint(1, 9))] for _ in range(64)
    ]

    def price(key, full):
        return 10.0 + key

    began = time.process_time()
    chosen = cheapest(heads, price)
    assert time.process_time() - began < 0.2  # 20 ms where nothing else runs
    assert total(heads, chosen, price) <= total(heads, [0] * len(heads), price)

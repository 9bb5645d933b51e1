"""Texts in errors are cut."""

from trunkline.core.text import LONGEST_ECHO, listed, shortened


def test_a_long_text_is_cut_and_a_short_one_stays():
    assert shortened("imagenet") == "imagenet"
    assert len(shortened("x" * 5000)) == LONGEST_ECHO
    assert shortened("x" * 5000).endswith("…")


def test_of_many_names_the_first_are_listed_and_the_others_counted():
    assert listed([]) == "none"
    assert listed(["a", "b"]) == "a, b"
    assert listed(f"head-{number}" for number in range(300)).endswith("head-19 and 280 more")

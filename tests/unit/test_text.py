"""Texts in errors are cut."""

from trunkline.core.text import LONGEST_ECHO, listed, shown


def test_a_long_text_is_cut_and_a_short_one_stays():
    assert shown("imagenet") == "imagenet"
    assert len(shown("x" * 5000)) == LONGEST_ECHO
    assert shown("x" * 5000).endswith("…")


def test_of_many_names_the_first_are_listed_and_the_others_counted():
    assert listed([]) == "none"
    assert listed(["a", "b"]) == "a, b"
    assert listed(f"head-{number}" for number in range(300)).endswith("head-19 and 280 more")

"""Connections whose messages have been small are remembered, so many of them."""

from trunkline.serving import senders
from trunkline.serving.senders import SMALL_BYTES, SmallSenders


def test_one_large_message_ends_it_and_a_small_one_begins_it():
    known = SmallSenders()
    assert "a" not in known
    known.sent("a", SMALL_BYTES)
    assert "a" in known
    known.sent("a", SMALL_BYTES + 1)
    assert "a" not in known
    known.sent("a", 0)
    assert "a" in known


def test_who_was_heard_of_longest_ago_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(senders, "_MOST", 2)
    known = SmallSenders()
    for peer in "abac":
        known.sent(peer, 1)
    assert [peer for peer in "abc" if peer in known] == ["a", "c"]
    known.forget("b")

"""Ids of a stream: a stream of any length needs little memory for them."""

from trunkline.gateway.ids import REMEMBERED, Ids


def test_an_id_is_refused_while_one_of_the_last_pictures_has_it():
    ids = Ids()
    assert [ids.take(str(number)) for number in range(REMEMBERED)] == [None] * REMEMBERED
    fault = ids.take("0")
    assert fault is not None
    assert "id '0' of one before" in fault.message
    assert fault.metadata == {"picture": str(REMEMBERED)}


def test_an_id_may_come_again_after_many_others():
    ids = Ids()
    assert not any(ids.take(str(number)) for number in range(REMEMBERED + 1))
    assert ids.take("0") is None
    assert ids.take("2") is not None


def test_a_long_id_is_shown_in_part():
    ids = Ids()
    ids.take("x" * 10_000)
    fault = ids.take("x" * 10_000)
    assert fault is not None
    assert len(fault.message) < 500

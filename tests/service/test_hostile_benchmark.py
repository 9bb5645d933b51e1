"""The benchmark of hostile cases does what it says, in a short run against real services."""

from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.hostile.case import ALL_IN_ONE, HEAD
from benchmarks.hostile.cases import CASES, transport
from benchmarks.hostile.http2 import Connection, message
from benchmarks.hostile.run import measured
from tests.conftest import start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with start_server(tmp_path_factory.mktemp("log") / "log", TRUNKLINE_HEADS="imagenet") as started:
        yield started


def test_names_are_unlike_and_every_form_has_cases():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) > 20
    assert {form for case in CASES for form in case.forms} == {"all in one", "split", "head alone"}


@pytest.mark.quiet
def test_a_case_is_measured_beside_good_calls():
    case = next(each for each in CASES if each.name == "20,000 pings")
    found = measured(case, ALL_IN_ONE, Path(__file__).parents[2], seconds=4, containers=None)
    assert not found.end
    assert found.good >= 20
    assert not found.lost
    assert 0 < found.good_p99_s < 10
    assert 0 < found.health_p99_s < 10
    assert found.seconds >= 4


@pytest.mark.quiet
def test_a_head_service_is_measured_alone():
    case = next(each for each in CASES if each.forms == (HEAD,))
    found = measured(case, HEAD, Path(__file__).parents[2], seconds=3, containers=None)
    assert not found.end
    assert found.good >= 20
    assert not found.lost
    assert set(found.got) <= {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}


def test_a_call_by_hand_is_answered(server):
    with closing(Connection(server.address)) as connection:
        stream, _ = connection.open("/grpc.health.v1.Health/Check")
        assert connection.data(stream, message(b""), end=True) == 5
        transport._wait(connection, 1, 10)
        assert connection.seen == Counter({"answered": 1})
        assert not connection.closed


def test_half_a_message_is_not_answered(server):
    with closing(Connection(server.address)) as connection:
        stream, _ = connection.open("/grpc.health.v1.Health/Check")
        connection.data(stream, message(b"x", claimed=100))
        transport._wait(connection, 1, 1)
        assert not connection.seen
        connection.send(connection.reset(stream))


def test_what_a_case_needs_is_laid_out_before(tmp_path: Path):
    for case in CASES:
        if case.prepare is None:
            continue
        folder = tmp_path / case.name.replace("/", " ")
        folder.mkdir()
        assert case.prepare(folder)
        assert any(folder.iterdir())

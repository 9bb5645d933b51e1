"""Every fuzzer: what it found before, and then new inputs for its share of FUZZ_SECONDS, always the same ones."""

import os
from random import Random

import pytest

from tests.fuzz.case import Case, unpack
from tests.fuzz.child import Child
from tests.fuzz.loop import make_again, run
from tests.fuzz.targets import SHARES, opened

SECONDS = float(os.environ.get("FUZZ_SECONDS", "120"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))


@pytest.mark.slow
@pytest.mark.timeout(300 + 10 * SECONDS)
@pytest.mark.parametrize("name", SHARES)
def test_no_input_breaks_it(name):
    with opened(name) as target:
        report = run(name, target, SECONDS * SHARES[name], SEED)
    assert not report.faults, "\n".join(report.faults.values())
    assert report.inputs or not SECONDS


@pytest.mark.parametrize("name", ["pictures", "datasets", "stored", "conversions"])
def test_the_same_seed_makes_the_same_inputs(name):
    with opened(name) as one, opened(name) as other:
        first = [make_again(name, one, 7, number) for number in range(20)]
        assert first == [make_again(name, other, 7, number) for number in range(20)]
        assert len(set(first)) > 10
        assert first != [make_again(name, other, 8, number) for number in range(20)]


def test_a_case_comes_back_as_it_was():
    case = Case({"a": [1, None]}, [b"", b"\n\x00", Random(1).randbytes(99)])
    assert unpack(case.pack()) == case


def _raise(data: bytes) -> None:
    raise KeyError(data.decode())


def _sleep(data: bytes) -> None:
    import time

    time.sleep(1000)


def _spin(data: bytes) -> None:
    while True:
        pass


def _grow(data: bytes) -> None:
    assert bytearray(b"x") * (700 << 20)


def _die(data: bytes) -> None:
    os.abort()


@pytest.mark.parametrize(
    ("function", "text"),
    [(_raise, "KeyError: 'x'"), (_sleep, "no answer"), (_spin, "s of CPU"), (_grow, "MiB"), (_die, "SIGABRT")],
)
def test_a_child_that_misbehaves_is_seen_and_the_next_input_is_read(function, text):
    child = Child(f"tests.fuzz.test_fuzz:{function.__name__}", most_s=3)
    try:
        for _ in range(1 if function in (_sleep, _spin) else 2):
            fault = child.check(b"x")
            assert fault is not None
            assert text in fault.text
    finally:
        child.close()

"""A process is left within bounds, with its own status, and what it printed is not lost."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from trunkline.serving.ends import fate_of

PYTHON = (sys.executable, "-c")
_START = """
import os, sys, threading, time
from trunkline.serving.ends import EndSignals, end_with
def hang():
    os.read(os.pipe()[0], 1)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PYTHON, _START + code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("daemon", [True, False])
def test_a_thread_that_hangs_holds_up_no_end(daemon):
    done = run(f"""
def main():
    threading.Thread(target=hang, daemon={daemon}).start()
    print("printed")
    return 3
end_with(main)
""")
    assert (done.returncode, done.stdout, done.stderr) == (3, "printed\n", "")


@pytest.mark.parametrize(
    ("raised", "status"),
    [("SystemExit(4)", 4), ("SystemExit", 0), ("SystemExit('why')", 1), ("LookupError('why')", 1)],
)
def test_the_status_is_that_of_the_program(raised, status):
    done = run(f"""
def main():
    raise {raised}
end_with(main)
""")
    assert done.returncode == status
    assert ("why" in done.stderr) == ("why" in raised)


def test_exit_handlers_run_and_one_that_hangs_is_left():
    done = run("""
import atexit
atexit.register(hang)
atexit.register(print, "cleaned up")
end_with(lambda: None)
""")
    assert (done.returncode, done.stdout) == (0, "cleaned up\n")


_WAITS = """
EndSignals(lambda: print("begins", flush=True), {within_s})
print("up", flush=True)
while True:
    time.sleep(60)
"""


def started(within_s: float) -> subprocess.Popen[str]:
    code = _START + _WAITS.format(within_s=within_s)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_does_not_end_is_left_in_time_and_says_so(number):
    with started(1.0) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "did not end in 1.0 s" in said


def test_a_second_signal_ends_it_at_once_and_the_same_one_sent_twice_does_not():
    with started(3600.0) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "begins\n"
        process.send_signal(signal.SIGTERM)  # as `timeout` does, to a process and to its group
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 128 + signal.SIGINT


def test_output_that_nobody_reads_holds_up_no_end():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    code = "sys.stdout.write('stays in the buffer')\nend_with(lambda: 5)"
    try:
        buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
        done = subprocess.run([*PYTHON, _START + code], stdout=writer, env=buffered, timeout=60, check=False)
        assert done.returncode == 5
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    ("code", "fate"),
    [(0, "ended with status 0"), (-6, "was killed by SIGABRT"), (-40, "was killed by signal 40")],
)
def test_what_became_of_a_process_is_told_in_words(code, fate):
    assert fate_of(code) == fate

"""Tests that interrupt processes pass where SIGINT is ignored on entry too, as in `nohup make test &`."""

import subprocess
import sys

from tests.conftest import ROOT

STARTED = """
import subprocess, sys
import tests.conftest
child = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
subprocess.run([sys.executable, "-c", child], check=True)
"""


def test_processes_that_tests_start_can_be_interrupted():
    shell = 'trap "" INT; exec "$0" -c "$1"'
    command = ["sh", "-c", shell, sys.executable, STARTED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"

"""A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket, gone afterwards."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PLACES = "/usr/lib/postgresql/*/bin"
_USER = "postgres"  # PostgreSQL refuses to be run by root
# Nothing of it has to survive.
_OPTIONS = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=60"


class PostgreSQL:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binaries, self._identity = _binaries(), _identity(folder)

    def start(self) -> None:
        options = f"{_OPTIONS} -k {self._folder}"
        self._control("-l", self._folder / "log", "-o", options, "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Meanwhile none of its processes does anything; connections stand."""
        first = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        processes = [first, *map(int, children)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def _control(self, *words: object) -> None:
        _run([self._binaries / "pg_ctl", "-D", self._folder / "data", "-w", *words], self._identity)

    def url(self, database: str) -> str:
        return f"postgresql://{_USER}@/{database}?host={self._folder}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        name = f"test_{secrets.token_hex(4)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@contextmanager
def private_postgresql() -> Iterator[PostgreSQL]:
    pytest.importorskip("psycopg", reason="needs the train extra: pip install -e '.[train]'")
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="trunkline-postgresql-"))
    identity = _identity(folder)
    data = folder / "data"
    try:
        _run([binaries / "initdb", "-D", data, "-U", _USER, "-A", "trust", "--no-sync"], identity)
        server = PostgreSQL(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    places = sorted(Path("/").glob(_PLACES.lstrip("/")))
    if not places:
        pytest.skip("needs PostgreSQL: install Debian's package postgresql")
    return places[-1]


def _identity(folder: Path) -> dict[str, object]:
    """As whom the server runs, for subprocess.run."""
    if os.getuid() != 0:
        return {}
    try:
        shutil.chown(folder, _USER, _USER)
    except LookupError:
        pytest.skip(f"needs a user {_USER} to run PostgreSQL, since root may not")
    return {"user": _USER, "group": _USER, "extra_groups": []}


def _run(command: list[object], identity: dict[str, object]) -> None:
    # The server keeps what it inherits: a pipe would never end.
    subprocess.run(
        [str(word) for word in command],
        check=True,
        timeout=60,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **identity,
    )

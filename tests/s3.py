"""A private S3 server, started once, that a test can take away for a while."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest

_SERVER = Path(__file__).with_name("s3_server.py")
_READY_WITHIN_S = 60


class S3:
    """A running server. Its processes must get `environment`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process = self._start()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def new_bucket(self) -> str:
        """The name of a bucket with nothing in it."""
        name = f"bucket-{uuid4().hex}"
        self.files().mkdir(name)
        return name

    def files(self):
        """An fsspec file system of this server."""
        import s3fs

        url = self.environment["AWS_ENDPOINT_URL"]
        return s3fs.S3FileSystem(key="test", secret="test", endpoint_url=url, use_listings_cache=False)

    @contextmanager
    def away(self, bucket: str) -> Iterator[None]:
        """Meanwhile the server is dead; then it is there again, with what was in this bucket."""
        objects = {path: self.files().cat_file(path) for path in self.files().find(bucket)}
        self.stop()
        try:
            yield
        finally:
            self._process = self._start()
            self.files().mkdir(bucket)
            for path, content in objects.items():
                self.files().pipe_file(path, content)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            process = subprocess.Popen([sys.executable, str(_SERVER), str(self.port)], stdout=log, stderr=log)
        ends_at = time.monotonic() + _READY_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert process.poll() is None, "the S3 server ended"
                assert time.monotonic() < ends_at, "the S3 server does not listen"
                time.sleep(0.1)
            else:
                return process


@contextmanager
def private_s3(folder: Path) -> Iterator[S3]:
    """Start a server and stop it at the end. Skips where a package is missing."""
    for package in ("moto", "s3fs"):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install -e '.[s3,dev]'")
    server = S3(folder / "s3.log")
    try:
        yield server
    finally:
        server.stop()

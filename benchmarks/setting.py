"""What every measurement begins with: models in the form of each server, and which servers can be had."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.full_models import write_full_models
from benchmarks.output import tell
from benchmarks.peers.mlserver.environment import NotInstalledError, mlserver_command
from benchmarks.repository import FOUR_HEADS, TINY, benchmark_repository
from benchmarks.servers import MLSERVER, MLSERVER_BATCHING, Models, ServerName


@contextmanager
def models() -> Iterator[Models]:
    """The benchmark's models in a temporary folder, for as long as the servers run."""
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        repository = benchmark_repository(Path(folder) / "models")
        full = Path(folder) / "full"
        write_full_models(repository, full, (*FOUR_HEADS, TINY))
        yield Models(repository, full)


def servers_at_hand(wanted: Sequence[ServerName]) -> tuple[list[ServerName], list[str]]:
    """The servers that can be started here, and for each other one a line that says why it is left out."""
    if not {MLSERVER, MLSERVER_BATCHING} & set(wanted):
        return list(wanted), []
    try:
        mlserver_command()
    except NotInstalledError as error:
        tell(str(error))
        return [name for name in wanted if name not in (MLSERVER, MLSERVER_BATCHING)], [str(error)]
    return list(wanted), []

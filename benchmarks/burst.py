"""A bad picture in the middle of a burst of good ones: how many good ones it costs."""

from collections import Counter
from typing import Any

from benchmarks.load.process import load_process
from benchmarks.output import Output, tell
from benchmarks.pictures import bad_pictures
from benchmarks.repository import IMAGENET
from benchmarks.servers import MLSERVER_BATCHING, SERVERS, Models, ServerName, running
from benchmarks.setting import models, servers_at_hand
from benchmarks.statistics import table

GOOD = 60


def run(output: Output, *, repeats: int = 3) -> None:
    """Writes burst.md and .json."""
    servers, absent = servers_at_hand((*SERVERS, MLSERVER_BATCHING))
    with models() as made:
        found = [each for server in servers for each in _one_server(server, made, repeats)]
    columns = (
        "server",
        "bad picture",
        f"good ones lost, of {GOOD} in each burst",
        "what they got",
        "the bad one got",
    )
    rows = [
        [
            each["server"],
            each["bad"],
            ", ".join(map(str, each["lost"])),
            ", ".join(f"{code} {count}" for code, count in each["codes"].items()),
            ", ".join(sorted(set(each["bad_codes"]))),
        ]
        for each in found
    ]
    notes = [
        f"{GOOD} distinct JPEGs of 500x375 at once, a bad picture in their middle; {repeats} bursts of each kind",
        f"{MLSERVER_BATCHING}: with its adaptive batching, max_batch_size 8, max_batch_time 10 ms",
        *(f"left out: {line}" for line in absent),
    ]
    output.write("burst", "A bad picture in a burst", notes, table(columns, rows), found)


def _one_server(server: ServerName, made: Models, repeats: int) -> list[dict[str, Any]]:
    done = []
    with running(server, made, [IMAGENET]) as started, load_process([started.target()]) as load:
        load.order("labels")
        for bad in bad_pictures():
            bursts = [load.order("burst", bad=bad, good=GOOD) for _ in range(repeats)]
            codes = sum((Counter(burst["good"]) for burst in bursts), Counter())
            done.append({
                "server": server,
                "bad": bad,
                "lost": [burst["lost"] for burst in bursts],
                "codes": dict(codes),
                "bad_codes": [burst["bad"] for burst in bursts],
            })  # fmt: skip
            tell(f"{server}, {bad}: lost {done[-1]['lost']}")
    return done

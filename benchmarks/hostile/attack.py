"""A case in a process of its own: python -m benchmarks.hostile.attack NAME reads where from standard input.

At low priority: over a network, hostile callers would take no cores of the service's machine.
"""

import json
import os
import resource
import sys
from pathlib import Path

from benchmarks.hostile.case import Where
from benchmarks.hostile.cases import CASES

_NICE = 10


def main() -> None:
    os.nice(_NICE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard > 0 else soft, hard))
    said = json.load(sys.stdin)
    where = Where(**{**said, "folder": Path(said["folder"]), "models": Path(said["models"])})
    case = next(each for each in CASES if each.name == sys.argv[1])
    json.dump(case.run(where), sys.stdout)


if __name__ == "__main__":
    main()

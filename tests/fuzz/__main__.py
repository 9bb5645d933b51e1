"""python -m tests.fuzz [--seconds 120] [--seed 1] [TARGET…]: fuzz, and end with 1 where something failed."""

import argparse
import os
import sys

from tests.fuzz.loop import run
from tests.fuzz.targets import SHARES, opened


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(SHARES)}; all without any")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", "120")), help="in all")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("FUZZ_SEED", "1")))
    given = parser.parse_args()
    unknown = set(given.targets) - set(SHARES)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    shares = {name: share for name, share in SHARES.items() if name in (given.targets or SHARES)}
    failed = False
    for name, share in shares.items():
        with opened(name) as target:
            report = run(name, target, given.seconds * share / sum(shares.values()), given.seed)
        sys.stdout.write(f"{name}: {report}\n")
        sys.stdout.flush()
        failed = failed or bool(report.faults)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

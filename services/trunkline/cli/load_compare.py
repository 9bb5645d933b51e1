"""`trunkline loadtest compare`: two reports read, put side by side, and shown."""

import math
from pathlib import Path

from trunkline.cli.load_run import show
from trunkline.cli.output import complain, print_json
from trunkline.loadtest.compare import Change, changes_table, compare, differences
from trunkline.loadtest.report import read_run, write_comparison


def compare_and_show(paths: tuple[Path, Path], tolerance: float, out: Path | None, *, json: bool) -> bool:
    """Print the changes, and write them where `out` is given. Returns whether none is for the worse."""
    before, after = (read_run(path) for path in paths)
    changes = compare(before, after, tolerance)
    different = differences(before, after)
    if json:
        print_json({"differences": different, "changes": list(map(_to_json, changes))})
    else:
        show(changes_table(changes))
    for name, pair in different.items():
        complain(f"{name} differs: {' against '.join(pair)}")
    if out is not None:
        for line in write_comparison(before, after, changes, out):
            complain(line)
    worse = [change for change in changes if change.worse]
    for change in worse:
        complain(f"{change.step}: {change.figure} changed from {change.before:.4g} to {change.after:.4g}")
    return not worse


def _to_json(change: Change) -> dict[str, str | float | bool | None]:
    values = {"before": change.before, "after": change.after, "change_percent": change.percent}
    # JSON has no nan.
    figures = {name: None if math.isnan(value) else round(value, 4) for name, value in values.items()}
    return {"step": change.step, "figure": change.figure, **figures, "worse": change.worse}

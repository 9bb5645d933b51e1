"""Links below docs/benchmarks/results to the results of benchmarks, which stay where the benchmarks write them."""

from pathlib import Path

SOURCE = Path(__file__).parents[2] / "benchmarks/results"
FOLDER = Path(__file__).parents[1] / "benchmarks/results"


def shown() -> set[str]:
    """Names of the results that the site has: pages and plots."""
    return {path.name for path in SOURCE.iterdir() if path.suffix in (".md", ".png")}


def link() -> None:
    """Make a link for each, and remove those to what is gone."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.iterdir():
        if path.name not in shown():
            path.unlink()
    for name in shown():
        if not (FOLDER / name).is_symlink():
            (FOLDER / name).symlink_to(Path("../../../benchmarks/results") / name)

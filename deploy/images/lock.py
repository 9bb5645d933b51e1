"""Exact versions with their digests, from what pip would install: lock.py REPORT, written by `pip install --report`.

The lines are a requirements file; `cyclonedx-py requirements` makes a bill of materials of it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def lines(report: dict[str, Any]) -> Iterator[str]:
    """In order of name. A package of which pip knows no digest has its version alone."""
    for each in sorted(report["install"], key=lambda each: each["metadata"]["name"].lower()):
        metadata, archive = each["metadata"], each["download_info"].get("archive_info", {})
        digest = archive.get("hashes", {}).get("sha256")
        yield f"{metadata['name']}=={metadata['version']}" + (f" --hash=sha256:{digest}" if digest else "")


if __name__ == "__main__":
    print("\n".join(lines(json.loads(Path(sys.argv[1]).read_text()))))

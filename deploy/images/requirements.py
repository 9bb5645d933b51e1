"""Write what to install, without Trunkline itself: requirements.py EXTRA,EXTRA… [REQUIREMENT…]

requirements.txt gets what the project and these extras ask for, constraints.txt the exact versions that the tests run
with, from the extra `dev`.
"""

import sys
import tomllib
from pathlib import Path


def requirements(extras: list[str], project: dict) -> list[str]:
    """Those of the project and of its extras. Ends the program for an extra that is not there."""
    known = project["optional-dependencies"]
    missing = [extra for extra in extras if extra not in known]
    if missing:
        sys.exit(f"no extra {', '.join(missing)}; known: {', '.join(sorted(known))}")
    return [*project["dependencies"], *(line for extra in extras for line in known[extra])]


def constraints(project: dict) -> list[str]:
    """Exact versions; a constraint of pip may name no extra."""
    return [line for line in project["optional-dependencies"]["dev"] if "==" in line and "[" not in line]


if __name__ == "__main__":
    found = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = [extra for extra in sys.argv[1].split(",") if extra]
    Path("requirements.txt").write_text("\n".join([*requirements(extras, found), *sys.argv[2:]]) + "\n")
    Path("constraints.txt").write_text("\n".join(constraints(found)) + "\n")

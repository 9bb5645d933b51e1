"""Copy what a virtual environment needs of the system below it, and no more: system.py ENVIRONMENT TARGET

That is the interpreter, its standard library, the shared libraries that any of them is linked with, certificates and
one user without rights. No shell, no package manager.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

USER = "trunkline:x:65532:65532:Trunkline:/tmp:/none\n"
GROUP = "trunkline:x:65532:\n"
ALSO = ("/etc/ssl/certs/ca-certificates.crt", "/etc/nsswitch.conf", "/etc/ld.so.cache")
# Opened by name, so that no file says that it needs them.
OPENED = ("libgcc_s.so.1", "libresolv.so.2", "libstdc++.so.6")
# Parts of the standard library that no service uses.
WITHOUT = (
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "site-packages",
    "dist-packages",
)


def main(environment: Path, target: Path) -> None:
    """Fill the folder `target`, which is to become the root of an image."""
    interpreter = Path(sys.executable).resolve()
    standard = Path(sysconfig.get_path("stdlib"))
    for path in ("tmp", "models", "var/lib/trunkline", "etc"):
        (target / path).mkdir(parents=True, exist_ok=True)
    (target / "tmp").chmod(0o1777)
    os.chown(target / "var/lib/trunkline", 65532, 65532)
    (target / "etc/passwd").write_text(USER)
    (target / "etc/group").write_text(GROUP)
    for name in ("lib", "lib64", "bin"):  # on most systems links into /usr
        link = Path("/", name)
        if link.is_symlink():
            _at(target, link.resolve()).mkdir(parents=True, exist_ok=True)
            (target / name).symlink_to(link.readlink())
    shutil.copytree(
        standard, _at(target, standard), symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*WITHOUT)
    )
    binaries = [interpreter, *_shared(standard), *_shared(environment)]
    for path in (interpreter, *_libraries(binaries, environment)):
        _copy(path, target)
    _copy_links(environment, target)
    for name in ALSO:
        if Path(name).exists():
            _copy(Path(name), target)


def _shared(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*.so*") if path.is_file() and re.search(r"\.so(\.\d+)*$", path.name))


def _libraries(binaries: list[Path], environment: Path) -> list[Path]:
    """Libraries of the system that these are linked with, as the loader finds them."""
    known = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    opened = [re.search(rf"{re.escape(name)} .*=> (\S+)", known) for name in OPENED]
    found = {match[1] for match in opened if match}
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    found |= set(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", told, re.MULTILINE))
    return [Path(each) for each in sorted(found) if not Path(each).is_relative_to(environment)]


def _copy_links(environment: Path, target: Path) -> None:
    """Those outside of the environment that lead from its python to the interpreter, as python3 -> python3.12."""
    link = environment / "bin/python"
    while link.is_symlink():
        if not link.is_relative_to(environment):
            _at(target, link).symlink_to(link.readlink())
        link = link.parent / link.readlink()


def _copy(path: Path, target: Path) -> None:
    goal = _at(target, path)
    goal.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, goal)


def _at(target: Path, path: Path) -> Path:
    return target / path.relative_to("/")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

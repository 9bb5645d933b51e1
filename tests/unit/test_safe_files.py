"""Files that others put there: what is no regular file or too large is refused at once, wherever it is read."""

import io
import os
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.unit.bundles import head_manifest, write_bundle
from trunkline.core.bundle import read_bundle
from trunkline.core.catalog import read_catalog
from trunkline.core.errors import DataForbiddenError, ModelInvalidError
from trunkline.core.files import MIB, open_regular, read_regular, real_path
from trunkline.core.npy import read_npz
from trunkline.core.repository import Repository
from trunkline.core.roots import DataRoots
from trunkline.core.text import shown, shown_path
from trunkline.heads.loading import FaultyHead
from trunkline.heads.versions import Choice, LoadedVersions
from trunkline.serving.addresses import is_loopback, over_network
from trunkline.serving.settings import Settings


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listener(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def sparse(path: Path) -> None:
    """3 GiB that take no room on the disk."""
    with path.open("wb") as file:
        file.truncate(3 * 1024 * MIB)


NOT_REGULAR = [fifo, folder, loop, device, listener]


@pytest.mark.parametrize("make", [*NOT_REGULAR, sparse])
def test_only_regular_files_of_a_bounded_size_are_read(tmp_path, make):
    make(tmp_path / "x")
    why = "not a regular file|Is a directory|symbolic links|the limit is"
    with pytest.raises(OSError, match=why):
        read_regular(tmp_path / "x", MIB)


def test_a_file_is_read_up_to_its_limit_and_a_name_that_no_file_can_have_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("x")
    assert read_regular(tmp_path / "link", 5) == b"12345"
    with open_regular(tmp_path / "link", 5) as file:
        assert real_path(file, tmp_path / "link") == os.path.realpath(tmp_path / "x")
    with pytest.raises(OSError, match="it has 5 bytes; the limit is 4"):
        read_regular(tmp_path / "x", 4)
    with pytest.raises(OSError, match="no file can have this name"):
        read_regular(tmp_path / "x\0y", 5)


def npz(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries.items():
            made.writestr(f"{name}.npy", data)
    return path


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def claiming(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


def test_arrays_come_back_as_they_were_stored(tmp_path):
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.asfortranarray(np.eye(3)[:2]),
        "c": np.zeros((0, 4), np.uint8),
        "d": np.array(5, np.int64),
    }
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    found = read_npz(tmp_path / "x.npz", MIB)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert (found[name] == array).all()


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"a": npy(np.zeros(4 * MIB, np.uint8))}, "when unpacked"),
        ({name: npy(np.zeros(MIB // 2, np.uint8)) for name in "abc"}, "when unpacked"),
        ({"a": claiming((1 << 40,))}, "larger than its data"),
        ({"a": claiming((-5,))}, "larger than its data"),
        ({"a": npy(np.array([{}], object))}, "Python objects"),
        ({"a": b"text"}, "magic string"),
    ],
)
def test_an_npz_that_unfolds_is_refused_before_it_does(tmp_path, entries, words):
    with pytest.raises(ValueError, match=words):
        read_npz(npz(tmp_path / "x.npz", **entries), MIB)


def test_an_npz_with_a_list_of_too_many_entries_is_refused(tmp_path):
    file = npz(tmp_path / "x.npz", **{f"{'x' * 200}{number}": b"" for number in range(6000)})
    with pytest.raises(ValueError, match="too many entries"):
        read_npz(file, 16 * MIB)


@pytest.mark.parametrize("make", [*NOT_REGULAR, sparse])
@pytest.mark.parametrize("name", ["golden.npz", "labels.txt", "model.onnx", "manifest.json"])
def test_a_bundle_with_a_file_that_is_none_costs_itself_and_says_which(tmp_path, name, make):
    bundle = read_bundle(write_bundle(tmp_path / "bundle", head_manifest()))
    (bundle.path / name).unlink()
    make(bundle.path / name)

    def read() -> object:
        match name:
            case "golden.npz":
                return bundle.read_golden()
            case "labels.txt":
                return bundle.labels
            case "model.onnx":
                return bundle.read_model()
        return read_bundle(bundle.path)

    with pytest.raises(ModelInvalidError, match=name):
        read()


@pytest.mark.parametrize("make", [*NOT_REGULAR, sparse])
def test_a_catalog_that_is_none_costs_its_head_alone(tmp_path, make):
    for head in ("good", "bad"):
        write_bundle(tmp_path / f"heads/{head}/1", head_manifest(head))
    make(tmp_path / "heads/bad/catalog.json")
    with pytest.raises(ModelInvalidError, match=r"catalog\.json"):
        read_catalog(tmp_path, "bad")
    assert read_catalog(tmp_path, "good") is None


@pytest.mark.parametrize("make", [fifo, folder, loop])
@pytest.mark.parametrize("name", ["catalog.json", "1/model.onnx", "1/golden.npz", "1/labels.txt"])
def test_heads_are_followed_beside_one_that_cannot_be_read(tmp_path, make, name):
    for head in ("bad", "other"):
        write_bundle(tmp_path / f"heads/{head}/1", head_manifest(head))
    (tmp_path / "heads/bad" / name).unlink(missing_ok=True)
    make(tmp_path / "heads/bad" / name)
    versions = LoadedVersions(Repository(tmp_path), Choice(), grace_s=0)
    versions.refresh()
    assert isinstance(versions.find("other", 1), FaultyHead)  # its model is no ONNX: it was looked at
    bad = versions.find("bad", 1)
    assert isinstance(bad, FaultyHead)
    assert name.rpartition("/")[2] in bad.error.message


def test_a_card_that_cannot_be_read_is_empty(tmp_path):
    bundle = read_bundle(write_bundle(tmp_path / "bundle", head_manifest()))
    assert bundle.card == ""
    fifo(bundle.path / "CARD.md")
    assert bundle.card == ""


def test_roots_hold_what_lies_below_once_links_and_dots_are_resolved(tmp_path):
    inside, outside = tmp_path / "data", tmp_path / "data-of-others"
    inside.mkdir()
    outside.mkdir()
    (inside / "out").symlink_to(outside)
    (tmp_path / "in").symlink_to(inside)
    (inside / "self").symlink_to("self")
    roots = DataRoots([str(tmp_path / "in")])
    assert all(map(roots.hold, (str(inside), f"{inside}/x/y", f"{tmp_path}/in/x", f"{outside}/../data/x")))
    assert not any(map(roots.hold, (str(outside), f"{inside}/out/x", f"{inside}/../secret", "/", f"{inside}/a\0b")))
    assert DataRoots(["/"]).hold("/etc/passwd")
    assert not DataRoots([]).hold(str(inside))


def test_what_is_there_and_what_is_not_are_refused_in_the_same_words(tmp_path):
    roots = DataRoots([str(tmp_path)])
    said = set()
    for path in ("/etc/passwd", "/etc/nothing", "/etc"):
        with pytest.raises(DataForbiddenError) as caught:
            roots.require(path)
        said.add(caught.value.message.replace(path, "DATA"))
    assert said == {"DATA is not below a folder of TRUNKLINE_TRAINING_DATA_ROOTS"}
    with pytest.raises(DataForbiddenError, match="set TRUNKLINE_TRAINING_DATA_ROOTS"):
        DataRoots([]).require(str(tmp_path))


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:8500", True),
        ("127.3.2.1:0", True),
        ("localhost:8500", True),
        ("[::1]:8500", True),
        ("unix:/run/x.sock", True),
        ("0.0.0.0:8500", False),
        ("[::]:8500", False),
        ("10.0.0.1:8500", False),
        ("localhost.example.com:8500", False),
    ],
)
def test_loopback_is_known_by_its_addresses(address, local):
    assert is_loopback(address) is local
    assert Settings(address=address).reached_from_here_alone is local
    if not address.startswith("unix:"):
        assert Settings(address="127.0.0.1:0", http_address=address).reached_from_here_alone is local
    assert bool(over_network("127.0.0.1:1", "", address)) is not local


def test_what_is_shown_is_short_and_on_one_line():
    assert shown("plain") == "plain"
    assert shown("a\nb\x1b[31m\udcff") == "a\\nb\\x1b[31m\\udcff"
    assert len(shown("x" * 10_000)) == 200
    assert shown_path("/a" * 1000 + "/labels.csv").endswith("/labels.csv")

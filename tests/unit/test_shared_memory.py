"""Shared memory: what is read is what was written, or an error, whatever the writer did meanwhile."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from trunkline.api.inference.v1 import tensor_pb2
from trunkline.core.errors import FeaturesGoneError, InvalidRequestError
from trunkline.serving import wire
from trunkline.serving.shared import files
from trunkline.serving.shared.layout import CHUNK_BYTES, Region
from trunkline.serving.shared.reader import ArenaReader
from trunkline.serving.shared.tensors import MIN_BYTES, share, unchanged
from trunkline.serving.shared.writer import Arena

LONG_S = 60.0


@pytest.fixture
def arena(tmp_path):
    made = Arena(tmp_path, limit_mib=1)  # 16 chunks
    yield made
    made.close()


@pytest.fixture
def reader(tmp_path, arena):
    return ArenaReader(tmp_path)


def numbers(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, count, np.uint8)


@pytest.mark.parametrize(
    "lengths", [(1,), (CHUNK_BYTES,), (CHUNK_BYTES + 1, 3, 70_000), (100, 16 * CHUNK_BYTES - 128)]
)
def test_arrays_are_read_as_they_were_written(arena, reader, lengths):
    arrays = [numbers(length, seed) for seed, length in enumerate(lengths)]
    regions = arena.write(arrays, LONG_S)
    assert regions is not None
    for array, region in zip(arrays, regions, strict=True):
        assert reader.view(region).tobytes() == array.tobytes()
    reader.check(regions)


def test_tensors_of_every_kind_come_back_bit_for_bit(arena, reader):
    arrays = {
        "maps": np.random.default_rng(1).normal(size=(1, 24, 32, 32)).astype("<f4"),
        "pixels": numbers(200_000).reshape(1, 200, 1000)[:, ::2],  # not contiguous
        "vector": np.random.default_rng(2).normal(size=(1, 1280)).astype("<f4"),
    }
    messages = share(arrays, arena, LONG_S)
    assert [name for name in arrays if messages[name].HasField("shared")] == ["maps", "pixels"]
    assert len(messages["vector"].data) == 5120 < MIN_BYTES
    found = wire.tensors_from_pb(messages, reader)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_reading_makes_no_copy_and_cannot_write(arena, reader):
    (region,) = arena.write([numbers(1000)], LONG_S)
    assert np.shares_memory(reader.view(region), reader.view(region))
    with pytest.raises(ValueError, match="read-only"):
        reader.view(region)[0] = 1


def test_a_block_stays_until_it_is_released_and_is_gone_once_it_is_used_again(arena, reader):
    old, new = numbers(900_000, 1), numbers(900_000, 2)
    (first,) = arena.write([old], LONG_S)
    assert arena.write([new], LONG_S) is None  # full
    assert reader.view(first).tobytes() == old.tobytes()
    arena.release([first.generation])
    view = reader.view(first)  # nobody has used it again yet
    (second,) = arena.write([new], LONG_S)
    assert second.offset == first.offset
    assert view.tobytes() == new.tobytes()  # which is why it has to be checked
    with pytest.raises(FeaturesGoneError):
        reader.check([first])
    with pytest.raises(FeaturesGoneError):
        reader.view(first)
    reader.check([second])


def test_a_block_whose_lease_is_over_is_used_again_and_one_whose_lease_is_not_is_kept(arena, reader):
    (kept,) = arena.write([numbers(400_000, 1)], LONG_S)
    (late,) = arena.write([numbers(400_000, 2)], 0.0)
    (new,) = arena.write([numbers(400_000, 3)], LONG_S)
    assert new.offset == late.offset
    reader.check([kept, new])
    with pytest.raises(FeaturesGoneError):
        reader.check([late])


def test_a_release_of_a_block_that_is_not_held_frees_no_other(arena):
    (region,) = arena.write([numbers(100)], LONG_S)
    arena.release([region.generation + 1, 0])
    assert arena.held_bytes == CHUNK_BYTES
    arena.release([region.generation, region.generation])
    assert arena.held_bytes == 0


def test_memory_is_taken_as_it_is_needed_and_no_more_after_many_rounds(arena):
    for round_ in range(200):
        (region,) = arena.write([numbers(100_000, round_)], LONG_S)
        arena.release([region.generation])
    assert arena.reserved_bytes == 2 * CHUNK_BYTES


def test_what_has_no_room_goes_inline(arena, reader):
    array = np.zeros((1, 2**20), np.uint8)
    first, second = (share({"maps": array}, arena, LONG_S)["maps"] for _ in range(2))
    assert first.HasField("shared")
    assert not second.HasField("shared")
    assert np.array_equal(wire.tensor_from_pb(second, reader), array)


def test_a_full_file_system_goes_inline(arena, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert arena.write([numbers(100)], LONG_S) is None
    assert arena.held_bytes == 0


def test_memory_that_was_never_written_is_not_read(arena, reader):
    with pytest.raises(InvalidRequestError):
        reader.view(Region(arena.id, 0, 0, 100))


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (2**20, 1), (2**20 - 4, 8), (2**63, 2**63), (0, 2**64 - 1)])
def test_a_region_outside_of_its_arena_is_refused(arena, reader, offset, length):
    with pytest.raises(InvalidRequestError):
        reader.view(Region(arena.id, 1, offset, length))


def test_a_region_that_does_not_fit_the_shape_is_refused(arena, reader):
    tensor = share({"maps": np.zeros((1, 100_000), np.uint8)}, arena, LONG_S)["maps"]
    tensor.shape[1] = 100_001
    with pytest.raises(InvalidRequestError, match="100001 bytes"):
        wire.tensor_from_pb(tensor, reader)


@pytest.mark.parametrize("name", ["", "..", "/etc/passwd", "../secret", "0" * 32, "A" * 32])
def test_a_name_from_the_wire_is_an_id_and_never_a_path(tmp_path, arena, reader, name):
    (tmp_path.parent / "secret.arena").write_bytes(b"x" * 10_000)
    shared = tensor_pb2.SharedRegion(arena=name, generation=1, length=1)
    tensor = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=[1], shared=shared)
    for its_reader in (reader, None):
        with pytest.raises(FeaturesGoneError) as caught:
            wire.tensor_from_pb(tensor, its_reader)
        assert caught.value.metadata["arena"] == name


@pytest.mark.parametrize(
    "content", [b"", b"short", b"x" * 10_000, b"TLARENA1" + b"\xff" * 8, b"TLARENA1" + bytes(5000)]
)
def test_a_file_that_is_no_arena_is_not_read(tmp_path, content):
    (tmp_path / f"{'0' * 32}.arena").write_bytes(content)
    assert ArenaReader(tmp_path).ids() == []


def test_a_link_is_not_followed(tmp_path, arena):
    (tmp_path / f"{'0' * 32}.arena").symlink_to(tmp_path / f"{arena.id}.arena")
    assert ArenaReader(tmp_path).ids() == [arena.id]


def test_an_answer_made_of_overwritten_numbers_is_thrown_away_and_so_is_its_error(arena, reader):
    tensor = share({"maps": np.zeros((1, 2**20), np.uint8)}, arena, LONG_S)["maps"]

    def overwrite():
        arena.release([tensor.shared.generation])
        assert arena.write([np.ones(2**20, np.uint8)], LONG_S)

    with pytest.raises(FeaturesGoneError), unchanged([tensor], reader):
        overwrite()
    with pytest.raises(FeaturesGoneError), unchanged([tensor], reader):
        raise ValueError("numbers that make no sense")


def test_an_error_that_has_nothing_to_do_with_it_stays_what_it_is(arena, reader):
    tensor = share({"maps": np.zeros((1, 2**20), np.uint8)}, arena, LONG_S)["maps"]
    with pytest.raises(ValueError, match="mine"), unchanged([tensor], reader):
        raise ValueError("mine")


class Watched:
    """An array that looks at the arena in the moment in which it is copied into it."""

    dtype, shape, nbytes = np.dtype(np.uint8), (1000,), 1000

    def __init__(self, look) -> None:
        self._look = look

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        self._look()
        return np.ones(1000, np.uint8)


def test_an_old_block_is_gone_before_the_first_number_of_the_new_one_is_there(arena, reader):
    (old,) = arena.write([np.zeros(1000, np.uint8)], LONG_S)
    arena.release([old.generation])
    looks = []

    def look():
        with pytest.raises(FeaturesGoneError):
            reader.check([old])
        looks.append(reader._mapped[arena.id].data[old.offset : old.offset + 1000].copy())

    (new,) = arena.write([Watched(look)], LONG_S)
    assert new.offset == old.offset
    assert looks
    assert not looks[0].any()
    assert reader.view(new).all()


def test_a_reader_never_takes_numbers_of_another_block_for_its_own(tmp_path, arena):
    """A writer that reuses blocks as fast as it can, against readers that hold on to theirs."""
    told: list[tuple[Region, int]] = [(arena.write([np.full(200_000, 1, np.uint8)], 0.0)[0], 1)]
    until, right, gone = time.monotonic() + 2.0, 0, 0

    def write():
        value = 1
        while time.monotonic() < until:
            value = value % 250 + 1
            written = arena.write([np.full(200_000, value, np.uint8)], 0.0)
            assert written is not None
            told.append((written[0], value))

    writer = threading.Thread(target=write)
    writer.start()
    reader = ArenaReader(tmp_path)
    while time.monotonic() < until:
        region, value = told[max(0, len(told) - 3)]
        try:
            found = reader.view(region)
            low, high = int(found.min()), int(found.max())
            reader.check([region])
        except FeaturesGoneError:
            gone += 1
        else:
            assert (low, high) == (value, value)
            right += 1
    writer.join()
    assert right > 0
    assert gone > 0


def test_an_arena_is_private_and_gone_once_it_is_closed(tmp_path):
    arena = Arena(tmp_path / "new", limit_mib=1)
    reader = ArenaReader(tmp_path / "new")
    (region,) = arena.write([numbers(1000)], LONG_S)
    (file,) = (tmp_path / "new").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert reader.ids() == [arena.id]
    view = reader.view(region)
    arena.close()
    assert reader.ids() == []
    assert view.tobytes() == numbers(1000).tobytes()  # who has it mapped can go on
    with pytest.raises(FeaturesGoneError):
        reader.view(region)


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_has_is_kept(tmp_path, arena):
    code = f"""
import time
from pathlib import Path
from trunkline.serving.shared.writer import Arena
print(Arena(Path({str(tmp_path)!r}), 1).id, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert files.sweep(tmp_path) == []
        assert ArenaReader(tmp_path).ids() == sorted([arena.id, name])
        other.send_signal(signal.SIGKILL)
    newest = Arena(tmp_path, limit_mib=1)
    assert files.ids_in(tmp_path) == sorted([arena.id, newest.id])
    newest.close()


def test_a_private_folder_goes_with_its_owner_and_that_of_a_dead_owner_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_MEMORY", tmp_path)
    dead, alive = (tmp_path / f"trunkline-split-{name}" for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir()
        (folder / ".lock").touch()
        os.utime(folder, (time.time() - 60,) * 2)
    with (alive / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with files.private_folder() as own:
            assert own is not None
            assert own.stat().st_mode & 0o777 == 0o700
            assert {path.name for path in tmp_path.iterdir()} == {own.name, "trunkline-split-alive"}
    assert [path.name for path in tmp_path.iterdir()] == ["trunkline-split-alive"]


def test_where_there_is_no_folder_in_memory_nothing_is_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_MEMORY", tmp_path / "none")
    with files.private_folder() as folder:
        assert folder is None

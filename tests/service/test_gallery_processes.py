"""Galleries of whole processes: kill -9, restarts, the command line, several threads of a client."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("sqlalchemy", reason="needs the gallery extra: pip install -e '.[gallery]'")
pytest.importorskip("usearch", reason="needs the gallery extra: pip install -e '.[gallery]'")

from tests.conftest import start_server
from tests.service.embedding_head import add_version
from tests.service.galleries import class_crops, environment_of, images_of, shades
from trunkline.client import GalleryClient, ServiceError


@pytest.fixture(scope="module")
def crops(tmp_path_factory, photos):
    return class_crops(tmp_path_factory.mktemp("crops"), photos[:3])


def test_a_service_that_is_killed_while_it_adds_leaves_nothing_half_added(tmp_path, models, photos):
    environment = environment_of(tmp_path, models)
    kept: list[str] = []
    pictures = shades(photos[0], 600)
    with start_server(tmp_path / "log", **environment) as server, GalleryClient(server.address) as galleries:
        galleries.create("many", "likeness", keep_images=True)
        answers = galleries.add("many", pictures)
        while len(kept) < 12:
            answer = next(answers)
            assert answer.error is None
            kept.append(answer.id)
        os.kill(server.process.pid, signal.SIGKILL)
        with pytest.raises(ServiceError):
            kept += [answer.id for answer in answers]
        server.process.wait()
    with start_server(tmp_path / "log", **environment) as server, GalleryClient(server.address) as galleries:
        found = galleries.get("many")
        assert len(kept) <= found.images < 600
        whole = galleries.search("many", photos[0], 1000, "images", 2.0)
        assert len(whole.matches) == min(found.images, 1000)
        assert set(kept) <= {match.id for match in whole.matches}
        assert galleries.search("many", photos[0], threshold=2.0).matches[0].images == found.images
        again = list(galleries.add("many", pictures[:20]))
        statuses = {answer.id: answer.status.value for answer in again}
        assert {statuses[key] for key in kept if key in statuses} == {"PRESENT"}


def test_a_re_embedding_outlives_the_service_that_works_on_it(tmp_path, models, photos):
    environment = environment_of(tmp_path, models)
    pictures = shades(photos[0], 24)
    add_version(tmp_path / "models", 1, name="other")
    with start_server(tmp_path / "log", **environment) as server, GalleryClient(server.address) as galleries:
        galleries.create("many", "likeness", keep_images=True)
        assert sum(answer.error is None for answer in galleries.add("many", pictures)) == 24
        galleries.reembed("many", "other")
        while galleries.get("many").reembedding.done < 4:
            time.sleep(0.02)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    with start_server(tmp_path / "log", **environment) as server, GalleryClient(server.address) as galleries:
        found = galleries.get("many")
        assert (found.space, found.head, found.reembedding.state) == ("likeness-1", "likeness", "RUNNING")
        assert 4 <= found.reembedding.done < 24
        ends_at = time.monotonic() + 90  # the lease of the one that was killed, too
        while galleries.get("many").reembedding.state == "RUNNING":
            assert galleries.search("many", pictures[0].content, threshold=2.0).matches
            assert time.monotonic() < ends_at
            time.sleep(0.2)
        found = galleries.get("many")
        assert (found.space, found.head, found.reembedding.done) == ("other-1", "other", 24)
        assert len(galleries.search("many", pictures[0].content, 100, "images", 2.0).matches) == 24


def only_line(said: str) -> str:
    (line,) = said.splitlines()
    return line


def test_the_command_line_adds_folders_and_searches_them(tmp_path, models, crops, photos):
    def run(*words: str, status: int = 0) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "trunkline.cli.main", "gallery", *words, "--target", server.address]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=120, check=False
        )
        assert done.returncode == status, done.stderr
        return done

    with start_server(tmp_path / "log", **environment_of(tmp_path, models)) as server:
        run("create", "things", "--head", "likeness", "--threshold", "0.6", "--keep-images")
        assert json.loads(run("add", "things", str(crops), "--json").stdout) == {
            "added": 15,
            "present": 0,
            "replaced": 0,
            "failed": [],
        }
        bad = tmp_path / "bad.jpg"
        bad.write_bytes(b"no picture")
        refused = run("add", "things", str(bad), str(photos[3]), "--class", "more", status=1)
        assert refused.stdout == "added 1, replaced 0, there before 0\n"
        assert "1 of 2 were not added" in refused.stderr
        assert "no gallery 'nope'" in only_line(run("add", "nope", str(crops), status=1).stderr)
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        for name in (b"a\xff.jpg", b"z.jpg"):
            (foreign / os.fsdecode(name)).write_bytes(photos[4].read_bytes())
        refused = run("add", "things", str(foreign), status=1)
        assert refused.stdout == "added 1, replaced 0, there before 0\n"
        assert "the name is not UTF-8, so it can be no id and no class: rename it" in refused.stderr
        assert run("remove", "things", "z.jpg").stdout == "removed 1\n"
        said = only_line(run("show", os.fsdecode(b"things\xff"), status=1).stderr)
        assert said == "trunkline: things\\udcff is not UTF-8: names and ids must be"
        shown = run("search", "things", str(foreign / os.fsdecode(b"a\xff.jpg")), "--threshold", "2").stdout
        assert "a\udcff.jpg" in shown
        found = json.loads(run("search", "things", str(photos[0]), "--threshold", "2", "--json").stdout)
        assert found[0]["matches"][0]["label"] == photos[0].stem
        listed = json.loads(run("list", "--json").stdout)
        assert [(each["name"], each["images"], each["classes"]) for each in listed] == [("things", 16, 4)]
        assert "16 in 4 classes" in run("show", "things").stdout
        assert run("remove", "things", photos[3].name).stdout == "removed 1\n"
        assert run("delete", "things").stdout == "gallery things deleted\n"
        assert "no gallery 'things'" in run("show", "things", status=1).stderr


def test_threads_of_the_client_share_a_connection(tmp_path, models, crops, photos):
    environment = environment_of(tmp_path, models)
    errors: list[object] = []

    def add(name: str) -> None:
        errors.extend(each.error for each in galleries.add("things", images_of(crops, [name])) if each.error)

    with start_server(tmp_path / "log", **environment) as server, GalleryClient(server.address) as galleries:
        galleries.create("things", "likeness")
        threads = [threading.Thread(target=add, args=(photo.stem,)) for photo in photos[:3]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert (galleries.get("things").images, galleries.get("things").classes) == (15, 3)

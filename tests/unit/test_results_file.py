"""The file of results that `trunkline analyze --out` adds to and goes on with."""

import json

import pytest

from trunkline.cli.results_file import ResultsFile
from trunkline.core.errors import ConfigurationError

HEADS = ["a", "b"]


def answered(image: str, **errors: str) -> dict:
    outcomes = [{"head": head, **({"error": {"code": errors[head]}} if head in errors else {})} for head in HEADS]
    return {"image": image, "outcomes": outcomes}


def failed(image: str, code: str) -> dict:
    return {"image": image, "error": {"code": code}}


def images(path) -> list[str]:
    return [json.loads(line)["image"] for line in path.read_text().splitlines()]


def write(path, *documents) -> None:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))


def test_a_new_file_is_made_with_its_folder_and_gets_a_line_for_each_picture(tmp_path):
    path = tmp_path / "new/results.jsonl"
    with ResultsFile(path, HEADS) as file:
        assert file.done == set()
        file.add(answered("1.jpg"))
        assert images(path) == ["1.jpg"]  # at once, not when it is closed
        file.add(answered("2.jpg"))
    with ResultsFile(path, HEADS) as file:
        assert file.done == {"1.jpg", "2.jpg"}


@pytest.mark.parametrize("rest", [b"{", b'{"image": "2.jpg"', b"\xff"])
def test_half_of_a_last_line_is_cut_off(tmp_path, rest):
    path = tmp_path / "results.jsonl"
    write(path, answered("1.jpg"))
    with path.open("ab") as file:
        file.write(rest)
    with ResultsFile(path, HEADS) as results:
        assert results.done == {"1.jpg"}
        results.add(answered("2.jpg"))
    assert images(path) == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"])
def test_what_may_pass_is_asked_again_and_keeps_one_line(tmp_path, code):
    path = tmp_path / "results.jsonl"
    write(path, failed("1.jpg", code), answered("2.jpg"), answered("3.jpg", b=code))
    path.chmod(0o640)
    with ResultsFile(path, HEADS) as file:
        assert file.done == {"2.jpg"}
        assert images(path) == ["2.jpg"]
        file.add(answered("3.jpg"))
    assert images(path) == ["2.jpg", "3.jpg"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_what_will_not_pass_is_not_asked_again(tmp_path):
    path = tmp_path / "results.jsonl"
    write(path, failed("1.jpg", "INVALID_ARGUMENT"), answered("2.jpg", a="NOT_FOUND"))
    before = path.read_bytes()
    with ResultsFile(path, HEADS) as file:
        assert file.done == {"1.jpg", "2.jpg"}
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["hello\n", "[]\n", '{"image": 3}\n', "\n"])
def test_a_file_of_something_else_is_left_alone(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="line 1: no result"), ResultsFile(path, HEADS):
        pass
    assert path.read_text() == content


def test_results_of_other_heads_are_not_mixed_in(tmp_path):
    path = tmp_path / "results.jsonl"
    write(path, answered("1.jpg"))
    with pytest.raises(ConfigurationError, match="results of a, b, not of c"), ResultsFile(path, ["c"]):
        pass


def test_two_runs_do_not_write_one_file(tmp_path):
    path = tmp_path / "results.jsonl"
    with ResultsFile(path, HEADS) as file:
        with pytest.raises(ConfigurationError, match="another run"), ResultsFile(path, HEADS):
            pass
        file.add(answered("1.jpg"))
    assert images(path) == ["1.jpg"]


@pytest.mark.parametrize(
    "line",
    [
        '{"image": "a", "outcomes": {"head": "x"}}',
        '{"image": "a", "outcomes": [7]}',
        '{"image": "a", "outcomes": [{"result": {}}]}',
        '{"image": "a", "error": "UNAVAILABLE"}',
        '{"image": "a", "error": {"code": [1]}}',
        "[" * 200_000,
    ],
)
def test_a_line_that_is_no_result_is_refused_by_number(tmp_path, line):
    path = tmp_path / "results.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ConfigurationError, match="line 1: no result"), ResultsFile(path, HEADS):
        pass


@pytest.mark.parametrize("kind", ["folder", "device"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / "results.jsonl"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigurationError, match="is not a file"), ResultsFile(path, HEADS):
        pass

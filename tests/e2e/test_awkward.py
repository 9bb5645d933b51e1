"""71 awkward files through the running gateway: code, reason and size, and nobody else pays."""

import json
from pathlib import Path

import pytest

from trunkline.client import Client, ServiceError

# Documented formats are JPEG, PNG, WebP, AVIF, BMP, GIF and TIFF: "either" files of other formats are refused.
NOT_DOCUMENTED = {"photo.heif"}


@pytest.fixture(scope="module")
def awkward(datasets: Path) -> list[tuple[Path, dict]]:
    folder = datasets / "awkward"
    entries = json.loads((folder / "manifest.json").read_text())["files"]
    return [(folder / entry["file"], entry["expect"]) for entry in entries]


def test_every_awkward_file_is_handled_as_expected(either_form, awkward, photos):
    with Client(either_form.address) as client:
        before = client.classify(photos[0])
        faults = [fault for path, expect in awkward if (fault := judge(client, path, expect))]
        after = client.classify(photos[0])
    assert not faults, "\n".join(faults)
    assert len(awkward) == 71
    assert after.result == before.result


def judge(client: Client, path: Path, expect: dict) -> str | None:
    """What is wrong with the answer to one file; None where nothing is."""
    action = "reject" if path.name in NOT_DOCUMENTED else expect["action"]
    try:
        size = client.classify(path.read_bytes()).image_size
    except ServiceError as error:
        return judge_refusal(path, action, error)
    if action in ("reject", "too_large"):
        return f"{path.name}: answered, should have been refused"
    want = (expect.get("width"), expect.get("height"))
    return f"{path.name}: size {size}, expected {want}" if None not in want and tuple(size) != want else None


def judge_refusal(path: Path, action: str, error: ServiceError) -> str | None:
    reasons = {"too_large": {"IMAGE_TOO_LARGE"}, "reject": {"INVALID_IMAGE"}, "either": {"INVALID_IMAGE"}}
    if action == "decode":
        return f"{path.name}: refused: {error}"
    if error.code != "INVALID_ARGUMENT" or error.reason not in reasons[action]:
        return f"{path.name}: {error.code} {error.reason}"
    return None if len(error.message.splitlines()) == 1 else f"{path.name}: not one line: {error.message!r}"

"""`trunkline evaluate --target`: a service's head on the caller's data has the numbers of `--models`; no torch."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT, start_server
from trunkline.core.bundle import read_bundle

# Any import of these ends the command: what is measured needs none of them.
WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "torchmetrics", "lightning", "timm"):
            raise ImportError(f"{name} was imported")
sys.meta_path.insert(0, Refuse())
from trunkline.cli.main import main
main()
"""


def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, "evaluate", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == status, done.stderr
    return done


def evaluated(*words: str) -> dict:
    return json.loads(run(*words, "--json").stdout)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_server(
        tmp_path_factory.mktemp("served") / "log", TRUNKLINE_HEADS="imagenet,pets,digit-angle,pennfudan,camvid,coco"
    ) as server:
        yield server


@pytest.fixture(scope="module")
def things(models, samples, tmp_path_factory):
    """Photographs in folders by what imagenet calls them, two of them wrongly."""
    root = tmp_path_factory.mktemp("things")
    labels = read_bundle(models / "heads/imagenet/2").labels
    named = {
        "coffee.jpg": "espresso",
        "chelsea.jpg": "tiger cat",
        "astronaut.jpg": "espresso",
        "rocket.jpg": "missile",
    }
    for name, label in named.items():
        assert label in labels
        if (samples / name).exists():
            (root / label).mkdir(exist_ok=True)
            (root / label / name).write_bytes((samples / name).read_bytes())
    return root


def test_the_service_is_worth_what_its_bundle_is(server, things, models):
    by_file = evaluated("--head", "imagenet", "--data", str(things), "--models", str(models))
    by_service = evaluated("--head", "imagenet", "--data", str(things), "--target", server.address)
    assert by_service == by_file
    assert by_file["count"] >= 3
    assert 0 < by_file["metrics"]["accuracy"] < 1


def test_embeddings_and_numbers_are_measured_too(server, things, models, samples, tmp_path):
    by_file = evaluated("--head", "pets", "--data", str(things), "--models", str(models))
    by_service = evaluated("--head", "pets", "--data", str(things), "--target", server.address)
    assert by_service["metrics"] == pytest.approx(by_file["metrics"])
    rows = ["file,angle", *(f"{path},{10 * number}" for number, path in enumerate(sorted(samples.glob("*.jpg"))[:3]))]
    for path in sorted(samples.glob("*.jpg"))[:3]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    target = read_bundle(models / "heads/digit-angle/1").manifest.settings["targets"][0]["name"]
    text = "\n".join(rows).replace(f"{samples}/", "").replace("file,angle", f"file,{target}")
    (tmp_path / "labels.csv").write_text(text + "\n")
    by_file = evaluated("--head", "digit-angle", "--data", str(tmp_path), "--models", str(models))
    by_service = evaluated("--head", "digit-angle", "--data", str(tmp_path), "--target", server.address)
    assert by_service["metrics"] == pytest.approx(by_file["metrics"])
    assert set(by_file["metrics"]) == {"rmse", "mae", "r2"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "folder", "metric"), [("pennfudan", "pennfudan", "ap"), ("camvid", "camvid", "mean_iou")]
)
def test_boxes_and_maps_are_measured_too(server, datasets, head, folder, metric):
    found = evaluated("--head", head, "--data", str(datasets / folder), "--split", "val", "--target", server.address)
    assert found["metrics"][metric] > 0.3


def test_a_class_that_the_data_calls_otherwise_is_named(server, datasets, models):
    where = ("--head", "coco", "--data", str(datasets / "pennfudan"), "--split", "val")
    by_file = evaluated(*where, "--map", "person=pedestrian", "--models", str(models))
    by_service = evaluated(*where, "--map", "person=pedestrian", "--target", server.address)
    assert by_service == by_file
    assert by_file["metrics"]["ap"] > 0.6
    assert "--map CLASS=NAME" in run(*where, "--models", str(models), status=1).stderr
    for wrong, words, status in [
        ("persons=pedestrian", "no class 'persons'; did you mean 'person'?", 1),
        ("person", "write CLASS=NAME", 2),
    ]:
        assert words in run(*where, "--map", wrong, "--models", str(models), status=status).stderr


def test_splits_are_measured_together(datasets, models):
    where = ("--head", "coco", "--data", str(datasets / "pennfudan"), "--map", "person=pedestrian")
    both = evaluated(*where, "--split", "val", "--split", "train", "--models", str(models))
    assert both["count"] == 140
    # As its card says.
    assert both["metrics"] == pytest.approx(read_bundle(models / "heads/coco/1").manifest.metrics, abs=2e-3)


def test_what_is_wrong_is_one_line(server, things):
    where = ("--data", str(things), "--target", server.address)
    assert "no head 'nothing'" in run("--head", "nothing", *where, status=1).stderr
    assert "either --models or --target" in run("--head", "imagenet", *where, "--models", "models", status=2).stderr


def test_a_picture_that_is_none_is_left_out_with_a_remark(server, things):
    (things / "espresso/broken.jpg").write_bytes(b"no picture")
    said = run("--head", "imagenet", "--data", str(things), "--target", server.address).stdout
    (things / "espresso/broken.jpg").unlink()
    assert "1 remark" in said

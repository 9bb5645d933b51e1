"""`trunkline models measure`: a head under the spec of another, measured as it is served, in its next version."""

import json
import random
import subprocess
import sys

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.crops import class_folders, crop
from tests.service.test_again import second_backbone
from tests.service.variants import repository_with
from trunkline.catalog.catalog import Catalog
from trunkline.client import AsyncClient
from trunkline.core.bundle import variant_bundle
from trunkline.core.repository import Repository
from trunkline.serving.session import load_session
from trunkline.testing import serve
from trunkline.training.evaluation import evaluate_head

pytestmark = pytest.mark.slow


def run(*arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trunkline.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("data"), samples, {"train": 8, "val": 4, "test": 4})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, samples):
    """48 crops without labels, and what is no picture."""
    folder, rng = tmp_path_factory.mktemp("pictures"), random.Random(8)
    for number in range(48):
        (folder / f"{number}.jpg").write_bytes(crop(samples / ("camera.jpg", "chelsea.jpg")[number % 2], rng))
    (folder / "none.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture
def repository(tmp_path, models):
    return repository_with(models, tmp_path / "models", "imagenet", "camvid")


def version_of(repository, name):
    return Repository(repository).head(name).manifest.version


async def test_a_linear_head_is_adapted_and_answers_under_both(repository, pictures, photos):
    before = Repository(repository).head("imagenet")
    made = run(
        "models", "measure", "imagenet", "--like", "camvid", "--adapt", pictures, "--models", repository, "--json"
    )
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    camvid = Repository(repository).head("camvid").manifest.preprocess
    assert found["preprocess_fingerprint"] == camvid.fingerprint
    assert found["fitted_on"] in (35, 36)  # what is no picture may be on either side
    assert found["agreement"]["count"] == found["unadapted"]["count"] == 48 - found["fitted_on"]
    assert found["points_lost"] == pytest.approx(100 * (1 - found["agreement"]["share"]))
    after = Repository(repository).head("imagenet", int(found["version"]))
    assert after.read_model() == before.read_model()
    assert after.manifest.model_copy(update={"version": before.manifest.version, "variants": ()}) == (
        before.manifest.model_copy(update={"variants": ()})
    )
    (variant,) = [each for each in after.manifest.variants if each.preprocess == camvid]
    assert variant.digest not in (None, before.manifest.digest)
    own = variant_bundle(after, variant)
    load_session(own)
    assert own.model_path.stat().st_size == pytest.approx(before.model_path.stat().st_size, rel=0.01)  # folded in
    card = after.card
    assert card.startswith(f"# imagenet, version {found['version']}\n")
    assert f"## Under {camvid.words}" in card
    assert f"Adapted on {found['fitted_on']} pictures" in card
    async with serve(models=repository) as host, AsyncClient(host.address) as client:
        # Nothing answers from it until it is promoted.
        assert (await client.get_head("imagenet")).version == str(before.manifest.version)
    Catalog(repository).promote("imagenet", after.manifest.version, force=True)
    async with serve(models=repository) as host, AsyncClient(host.address) as client:
        answer = await client.analyze(photos[0], ["imagenet", "camvid"], max_points_lost=100)
        assert answer.backbone_passes == 1
        assert answer["imagenet"].version == found["version"]
    again = run("models", "measure", "imagenet", "--like", "camvid", "--pictures", pictures, "--models", repository)
    assert again.returncode == 0, again.stderr
    last = Repository(repository).head("imagenet")
    assert last.manifest.version == after.manifest.version + 1
    (variant,) = [each for each in last.manifest.variants if each.preprocess == camvid]
    assert variant.digest is None  # measured anew, as it is
    assert not list(last.path.glob(f"variant-{camvid.fingerprint}.onnx"))
    assert last.card.count(f"## Under {camvid.words}") == 1


def test_a_head_with_figures_has_the_same_ones_under_the_other_spec(repository, data, tmp_path):
    where = ["--models", repository]
    options = ["--like", "imagenet", "--feature", "pooled", "--views", 1, "--epochs", 100]
    trained = run("train", "--data", data, "--name", "photos", *options, "--cache", tmp_path / "cache", *where)
    assert trained.returncode == 0, trained.stderr
    missing = run("models", "measure", "photos", "--like", "camvid", *where)
    assert missing.returncode == 1
    assert "give the data that it was measured on, with --data DIR" in missing.stderr
    made = run("models", "measure", "photos", "--like", "camvid", "--data", data, "--json", *where)
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    head = Repository(repository).head("photos", 2)
    assert found["before"] == head.manifest.metrics == Repository(repository).head("photos", 1).manifest.metrics
    assert set(found["metrics"]) == set(found["before"])
    assert found["points_lost"] == head.manifest.variants[0].points_lost(head.manifest.metrics)
    assert evaluate_head(repository, "photos/2", data, "test", lambda *_: None)["metrics"] == found["before"]
    (data / "test/camera/0.jpg").rename(data / "test/camera/other.jpg")
    other = run("models", "measure", "photos", "--like", "camvid", "--data", data, *where)
    (data / "test/camera/other.jpg").rename(data / "test/camera/0.jpg")
    assert other.returncode == 1
    assert "both cannot be compared" in other.stderr
    assert version_of(repository, "photos") == 2


def test_what_cannot_be_measured_is_said_and_nothing_is_published(repository, pictures, models, data):
    second_backbone(repository, models)
    cases = [
        (["imagenet", "--like", "camvid"], 1, "give pictures on which its answers are compared"),
        (["imagenet", "--like", "imagenet", "--pictures", pictures], 1, "have one spec already"),
        (["imagenet", "--like", "nobody", "--pictures", pictures], 1, "nobody"),
        (["imagenet/9", "--like", "camvid", "--pictures", pictures], 1, "9"),
        (["camvid", "--like", "imagenet", "--data", data], 1, "no masks and no outlines"),
        (["imagenet", "--like", "camvid", "--adapt", pictures / "0.jpg"], 1, "32 or more"),
    ]
    before = version_of(repository, "imagenet"), version_of(repository, "camvid")
    for arguments, status, words in cases:
        refused = run("models", "measure", *arguments, "--models", repository)
        assert (refused.returncode, words in refused.stderr.replace("\n", " ")) == (status, True), refused.stderr
    assert (version_of(repository, "imagenet"), version_of(repository, "camvid")) == before
    assert not list(repository.glob(".export-*"))

"""A head under further specs: what its manifest states, what it loses, and what is refused."""

import json

import numpy as np
import pytest

from tests.unit.bundles import DIGEST, SPEC, head_manifest, write_bundle
from trunkline.core.bundle import HeadManifest, read_bundle, variant_bundle, write_golden
from trunkline.core.errors import ModelInvalidError
from trunkline.core.evaluation import points_lost
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.publishing import manifest_text

WIDE = PreprocessSpec(resize="squash", width=480, height=352)
FIGURES = {"accuracy": 0.9, "eer": 0.1}


def variant(**changes):
    return {
        "preprocess": WIDE.model_dump(),
        "preprocess_fingerprint": WIDE.fingerprint,
        "metrics": {"accuracy": 0.88, "eer": 0.14},
    } | changes


def write(path, variants, **changes):
    return write_bundle(path, head_manifest() | {"metrics": FIGURES, "variants": variants} | changes)


def test_a_variant_is_read_and_loses_what_its_worst_figure_loses(tmp_path):
    head = read_bundle(write(tmp_path / "head", [variant(settings={"temperature": 2.0})]))
    (found,) = head.manifest.variants
    assert found.points_lost(head.manifest.metrics) == pytest.approx(4.0)  # of the error rate
    under = head.manifest.under(found)
    assert (under.preprocess, under.preprocess_fingerprint) == (WIDE, WIDE.fingerprint)
    assert (under.settings, under.metrics, under.variants) == ({"temperature": 2.0}, found.metrics, ())
    assert (under.digest, under.backbone, under.version) == (DIGEST, head.manifest.backbone, 1)


def test_a_variant_has_golden_outputs_of_its_own_and_the_model_of_the_head(tmp_path):
    head = read_bundle(write(tmp_path / "head", [variant()]))
    (found,) = head.manifest.variants
    write_golden(head.path, {"pooled": np.zeros((1, 3))}, {"logits": np.ones((1, 2))}, found.golden_file)
    own = variant_bundle(head, found)
    assert own.model_path == head.model_path
    assert own.read_golden()[1]["logits"].sum() == 2
    assert head.read_golden()[1]["logits"].sum() == 0


def test_a_variant_with_a_model_of_its_own_is_checked_by_its_digest(tmp_path):
    head = read_bundle(write(tmp_path / "head", [variant(digest="0" * 64)]))
    own = variant_bundle(head, head.manifest.variants[0])
    with pytest.raises(ModelInvalidError, match=f"variant-{WIDE.fingerprint}.onnx cannot be read"):
        own.read_model()
    own.model_path.write_bytes(b"something else")
    with pytest.raises(ModelInvalidError, match=r"0{64}"):
        own.read_model()
    assert head.read_model()


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ([variant(preprocess_fingerprint="0123456789abcdef")], "0123456789abcdef"),
        ([variant(), variant()], f"spec {WIDE.fingerprint} is there twice"),
        ([variant(preprocess=SPEC.model_dump(), preprocess_fingerprint=SPEC.fingerprint)], "is there twice"),
        ([variant(metrics={"accuracy": 0.8})], "needs the metrics of the head, no others: accuracy, eer"),
        ([variant(metrics={"accuracy": 0.8, "eer": float("nan")})], "no finite number"),
        ([variant(metrics={"accuracy": 0.8, "eer": 0.1}, agreement={"share": 2, "count": 1, "data": "x"})], "share"),
        ([variant()] * 9, "variants"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, variants, words):
    path = tmp_path / "head"
    write(path, variants)
    with pytest.raises(ModelInvalidError, match=words):
        read_bundle(path)


def test_a_head_without_figures_needs_an_agreement(tmp_path):
    write(tmp_path / "none", [variant(metrics={})], metrics={})
    with pytest.raises(ModelInvalidError, match="needs the agreement"):
        read_bundle(tmp_path / "none")
    agreement = {"share": 0.83, "count": 200, "data": "pets"}
    head = read_bundle(write(tmp_path / "some", [variant(metrics={}, agreement=agreement)], metrics={}))
    assert head.manifest.variants[0].points_lost({}) == pytest.approx(17)


def test_manifests_without_variants_are_as_before(tmp_path):
    head = read_bundle(write_bundle(tmp_path / "head", head_manifest()))
    assert isinstance(head.manifest, HeadManifest)
    assert head.manifest.variants == ()
    assert "variants" not in json.loads(manifest_text(head.manifest))


def test_points_are_hundredths_and_a_better_figure_pays_for_no_other():
    assert points_lost({"accuracy": 0.9}, {"accuracy": 0.95}) == 0
    assert points_lost({"accuracy": 0.9, "map": 0.5}, {"accuracy": 0.95, "map": 0.48}) == pytest.approx(2)
    assert points_lost({"rmse": 4.0}, {"rmse": 4.4}) == pytest.approx(10)  # of its value: it is in a unit
    assert points_lost({"accuracy": 0.9}, {"accuracy": 0.9 - 1e-12}) == 0
    with pytest.raises(ValueError, match="map is missing"):
        points_lost({"accuracy": 0.9, "map": 0.5}, {"accuracy": 0.9})

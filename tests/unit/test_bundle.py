"""A bundle is read and checked, and what is wrong with it is said with the file and the field."""

import json
import re

import numpy as np
import pytest
from pydantic import ValidationError

from tests.unit.bundles import DIGEST, MODEL, SPEC, backbone_manifest, head_manifest, write_bundle
from trunkline.core.bundle import BackboneManifest, HeadManifest, read_bundle
from trunkline.core.errors import ModelInvalidError
from trunkline.core.labels import labels_text


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bundle"


def refused(path, *words):
    """Reading fails with one line that has the file and these words in it."""
    with pytest.raises(ModelInvalidError) as caught:
        read_bundle(path)
    assert str(path / "manifest.json") in caught.value.message
    assert "\n" not in caught.value.message
    for word in words:
        assert word in caught.value.message


def test_a_backbone_is_read(path):
    bundle = read_bundle(write_bundle(path, backbone_manifest()))
    assert isinstance(bundle.manifest, BackboneManifest)
    assert [(f.name, f.channels, f.stride) for f in bundle.manifest.features] == [("c2", 24, 4), ("pooled", 1280, 0)]
    assert bundle.manifest.preprocess == SPEC
    assert bundle.read_model() == MODEL


def test_a_head_is_read(path):
    bundle = read_bundle(write_bundle(path, head_manifest()))
    assert isinstance(bundle.manifest, HeadManifest)
    assert (bundle.manifest.settings, bundle.manifest.metrics) == ({}, {})
    assert bundle.manifest.backbone.digest == DIGEST
    assert bundle.labels == ("tree", "Gefäß")


def test_golden_arrays_come_back_as_they_were_written(path):
    inputs, outputs = read_bundle(write_bundle(path, head_manifest())).read_golden()
    assert list(inputs) == ["pooled"]
    assert list(outputs) == ["logits"]
    assert np.array_equal(inputs["pooled"], np.ones((1, 3), np.float32))
    assert outputs["logits"].dtype == np.float32


def test_a_bundle_without_labels_has_none(path):
    (write_bundle(path, head_manifest()) / "labels.txt").unlink()
    assert read_bundle(path).labels == ()


BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("line_break", BREAKS)
def test_a_line_break_in_a_label_shifts_no_other(path, line_break):
    names = (f"big{line_break}green pear", "owl", f"zebra{line_break}")
    folder = write_bundle(path, head_manifest())
    (folder / "labels.txt").write_bytes(labels_text(names).encode())
    assert read_bundle(folder).labels == ("big green pear", "owl", "zebra")
    assert (folder / "labels.txt").read_text(encoding="utf-8").splitlines() == ["big green pear", "owl", "zebra"]


def test_labels_that_others_wrote_end_at_line_feeds_alone(path):
    folder = write_bundle(path, head_manifest())
    (folder / "labels.txt").write_bytes("\ufeffbig\u2028pear\r\nowl\x85\r\n\r\nzebra\n\n".encode())
    assert read_bundle(folder).labels == ("big pear", "owl", "", "zebra")


def test_labels_that_are_no_utf_8_are_refused(path):
    (write_bundle(path, head_manifest()) / "labels.txt").write_bytes("Gefäß".encode("latin-1"))
    with pytest.raises(ModelInvalidError, match=r"labels\.txt cannot be read: it must be UTF-8"):
        _ = read_bundle(path).labels


def test_a_missing_manifest_is_named(path):
    refused(path, "No such file or directory")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": "head"', '"head"'])
def test_a_manifest_that_is_no_json_object_is_refused(path, text):
    (write_bundle(path, head_manifest()) / "manifest.json").write_text(text)
    refused(path, "the file: ")


@pytest.mark.parametrize("kind", [None, "tail", "Head"])
def test_a_manifest_of_another_kind_is_refused(path, kind):
    write_bundle(path, head_manifest() | {"kind": kind})
    refused(path, "kind")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour: "),
        ({"version": 0}, "version: "),
        ({"name": "../secret"}, "name: "),
        ({"name": "Upper"}, "name: "),
        ({"name": "a" * 64}, "name: "),
        ({"digest": "abc"}, "digest: "),
        ({"digest": DIGEST.upper()}, "digest: "),
        ({"schema_version": 2}, "schema_version: "),
        ({"features": []}, "features: "),
        ({"mode": "magic"}, "mode: "),
        ({"backbone": {"name": "tiny", "version": 1}}, "backbone.digest: "),
        ({"preprocess": SPEC.model_dump() | {"width": 225}}, "preprocess.width: "),
        ({"preprocess": SPEC.model_dump() | {"mean": 0.5}}, "preprocess.mean: "),
        ({"origin": {"source": "a test"}}, "origin.licence: "),
    ],
)
def test_the_field_that_is_wrong_is_named(path, change, field):
    write_bundle(path, head_manifest() | change)
    refused(path, f"manifest.json: {field}")


def test_a_field_that_is_missing_is_named(path):
    manifest = backbone_manifest()
    del manifest["architecture"]
    write_bundle(path, manifest)
    refused(path, "manifest.json: architecture: Field required")


def test_a_fingerprint_that_is_not_the_specs_is_refused_with_both(path):
    write_bundle(path, head_manifest() | {"preprocess_fingerprint": "0123456789abcdef"})
    refused(path, "0123456789abcdef", SPEC.fingerprint, "one of the two was edited")


def test_a_spec_edited_without_its_fingerprint_is_refused(path):
    write_bundle(path, head_manifest() | {"preprocess": SPEC.model_dump() | {"width": 256}})
    refused(path, SPEC.fingerprint)


def test_a_model_that_was_replaced_is_refused_with_both_digests(path):
    bundle = read_bundle(write_bundle(path, head_manifest()))
    bundle.model_path.write_bytes(MODEL + b"!")
    with pytest.raises(ModelInvalidError, match=f"has digest [0-9a-f]{{64}}, its manifest says {DIGEST}"):
        bundle.read_model()


def test_a_missing_model_is_refused(path):
    bundle = read_bundle(write_bundle(path, head_manifest()))
    bundle.model_path.unlink()
    with pytest.raises(ModelInvalidError, match=re.escape(f"{bundle.model_path} cannot be read: No such file")):
        bundle.read_model()
    bundle.model_path.mkdir()
    with pytest.raises(ModelInvalidError, match="cannot be read: Is a directory"):
        bundle.read_model()


def test_missing_golden_vectors_are_refused(path):
    bundle = read_bundle(write_bundle(path, head_manifest()))
    (path / "golden.npz").unlink()
    with pytest.raises(ModelInvalidError, match=r"golden\.npz cannot be read"):
        bundle.read_golden()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_golden_vectors_cut_off_are_refused(path, share):
    bundle = read_bundle(write_bundle(path, head_manifest()))
    whole = (path / "golden.npz").read_bytes()
    (path / "golden.npz").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelInvalidError, match=r"golden\.npz cannot be read"):
        bundle.read_golden()


def test_golden_vectors_with_damage_are_refused(path):
    bundle = read_bundle(write_bundle(path, head_manifest()))
    data = bytearray((path / "golden.npz").read_bytes())
    at = data.index(b"output.logits.npy") + 40
    data[at : at + 20] = bytes(20)
    (path / "golden.npz").write_bytes(bytes(data))
    with pytest.raises(ModelInvalidError, match=r"golden\.npz cannot be read"):
        bundle.read_golden()


def test_golden_vectors_that_would_run_code_are_refused(path):
    bundle = read_bundle(write_bundle(path, head_manifest()))
    np.savez(path / "golden.npz", **{"input.pooled": np.array([{}], dtype=object)})
    with pytest.raises(ModelInvalidError, match=r"golden\.npz cannot be read"):
        bundle.read_golden()


def test_a_manifest_is_a_value(path):
    bundle = read_bundle(write_bundle(path, head_manifest()))
    with pytest.raises(ValidationError, match="frozen"):
        bundle.manifest.version = 2


def test_a_manifest_survives_json(path):
    manifest = read_bundle(write_bundle(path, head_manifest())).manifest
    (path / "manifest.json").write_text(manifest.model_dump_json())
    assert read_bundle(path).manifest == manifest
    assert json.loads(manifest.model_dump_json())["kind"] == "head"

"""Which places of a picture an answer comes from, in both forms."""

import asyncio
import contextlib
import hashlib
import http.client
import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from tests.service.bundles import linked_repository
from tests.service.two_backbones import TINY, add_backbone, add_head, export_tiny
from trunkline.client import AsyncClient, AsyncGalleryClient, GalleryImage, ServiceError
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.serving.session import load_session
from trunkline.testing import serve, serve_split

FORMS = [serve, serve_split]
NAMED = {serve: "all in one", serve_split: "split"}
both_forms = pytest.mark.parametrize("form", FORMS, ids=NAMED.get)


@pytest.fixture
def two_things(photos) -> bytes:
    """A cup of coffee on the left, a cat on the right, 448x224."""
    left, right = (next(photo for photo in photos if photo.stem == name) for name in ("coffee", "chelsea"))
    both = Image.new("RGB", (448, 224))
    for place, photo in enumerate((left, right)):
        with Image.open(photo) as picture:
            both.paste(picture.convert("RGB").resize((224, 224)), (224 * place, 0))
    file = io.BytesIO()
    both.save(file, "PNG")
    return file.getvalue()


def weights_of(bundle) -> dict[str, np.ndarray]:
    graph = onnx.load_from_string(bundle.read_model()).graph
    return {each.name: numpy_helper.to_array(each) for each in graph.initializer}


def contributions(models, picture: bytes, spec, label: str) -> np.ndarray:
    """float (7, 7): the classifier's row of a class times conv_head on c5 again, from the weights in the files."""
    repository = Repository(models)
    backbone, head = repository.backbone("efficientnet-lite0"), repository.head("imagenet")
    pixels, _ = preprocess(EncodedImage(picture), spec)
    c5 = load_session(backbone).run({"image": pixels}, ["c5"])["c5"][0]  # (320, 7, 7)
    weights = weights_of(backbone)
    kernel = next(value for name, value in weights.items() if name.endswith("conv_head.weight"))[:, :, 0, 0]
    offset = next(value for name, value in weights.items() if name.endswith("conv_head.weight_bias"))
    map_ = np.clip(np.einsum("oc,chw->ohw", kernel, c5) + offset[:, None, None], 0, 6)  # (1280, 7, 7)
    linear = {tuple(value.shape): value for value in weights_of(head).values()}
    rows = linear[(1000, 1280)] if (1000, 1280) in linear else linear[(1280, 1000)].T
    row = rows[head.labels.index(label)]
    return np.einsum("c,chw->hw", row, map_) / 49


@both_forms
async def test_a_linear_head_is_explained_exactly(form, models, photos):
    async with form(heads=("imagenet",)) as host, AsyncClient(host.address) as client:
        found = await client.explain(photos[0], "imagenet")
        best = (await client.classify(photos[0], "imagenet", top_k=1)).result.labels[0].label
        spec = Repository(models).head("imagenet").manifest.preprocess
    assert (found.target, found.method, found.adds_up, found.passes) == (best, "activation", True, 1)
    expected = contributions(models, photos[0].read_bytes(), spec, best)
    assert found.map.values == pytest.approx(expected, abs=1e-5 * float(np.abs(expected).max()) + 1e-6)


@both_forms
async def test_the_place_of_a_thing_is_found(form, two_things):
    async with form(heads=("imagenet", "coco", "flowers102")) as host, AsyncClient(host.address) as client:
        for target, side in (("espresso", 0), ("tabby", 1)):
            for method in ("activation", "occlusion"):
                found = await client.explain(two_things, "imagenet", target, method=method, cells=4)
                over = found.map.over(448, 224)  # (H, W)
                halves = over[:, :224].sum(), over[:, 224:].sum()
                assert np.argmax(halves) == side, (target, method, halves)
        cup = await client.explain(two_things, "coco", "cup", cells=3)
        assert (cup.method, cup.passes) == ("occlusion", 10)
        assert cup.map.over(448, 224)[:, :224].sum() > cup.map.over(448, 224)[:, 224:].sum()
        tail = await client.explain(two_things, "flowers102", cells=2)  # a head with a tail of its own
        assert (tail.method, tail.map.values.shape) == ("occlusion", (2, 2))


async def test_both_forms_explain_alike(two_things):
    found = []
    for form in FORMS:
        async with form(heads=("imagenet", "pets")) as host, AsyncClient(host.address) as client:
            alike = await client.explain(two_things, "pets", other=two_things, method="activation")
            hidden = await client.explain(two_things, "pets", other=two_things, method="occlusion", cells=2)
            exact = await client.explain(two_things, "imagenet", "tabby")
            found.append([alike, hidden, exact])
    for one, other in zip(*found, strict=True):
        assert (one.target, one.strength, one.method) == (other.target, other.strength, other.method)
        assert np.array_equal(one.map.values, other.map.values)
    alike, hidden, _ = found[0]
    assert (alike.target, hidden.target) == ("similarity", "similarity")
    assert hidden.strength == pytest.approx(1)  # it is the same picture
    assert (hidden.map.values > 0).all()


async def test_a_class_of_a_gallery_is_explained(galleries_place, photos):
    async with serve(**galleries_place) as host, AsyncClient(host.address) as client:
        async with AsyncGalleryClient(host.address) as keeper:
            await keeper.create("shop", head="pets")
            images = [GalleryImage(photo, photo.stem, photo.stem) for photo in photos[:3]]
            assert [added.error async for added in keeper.add("shop", images)] == [None] * 3
        found = await client.explain(photos[1], "gallery:shop")
        other = await client.explain(photos[1], "gallery:shop", photos[0].stem)
        assert (found.target, other.target) == (photos[1].stem, photos[0].stem)
        assert found.strength > other.strength
        with pytest.raises(ServiceError, match="there is no class 'nobody'"):
            await client.explain(photos[1], "gallery:shop", "nobody")


@pytest.fixture
def galleries_place(tmp_path):
    return {
        "heads": ("pets",),
        "gallery_database": f"sqlite:///{tmp_path}/galleries.db",
        "gallery_index": tmp_path / "index",
    }


@both_forms
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"head": ""}, "no head was named"),
        ({"head": "nobody"}, "there is no head 'nobody'"),
        ({"head": "imagenet", "target": "tabbyy"}, "did you mean tabby"),
        ({"head": "imagenet", "target": "tabbyy", "method": "occlusion"}, "did you mean tabby"),
        ({"head": "flowers102", "method": "activation"}, "ask for occlusion"),
        ({"head": "imagenet", "cells": 40}, "cells is 40"),
        ({"head": "imagenet", "other": b"x"}, "other_image is for heads that embed"),
        ({"head": "pets", "target": "cat"}, "explained as 'vector'"),
    ],
)
async def test_what_cannot_be_explained_says_why(form, asked, said, photos):
    async with form(heads=("imagenet", "flowers102", "pets")) as host, AsyncClient(host.address) as client:
        with pytest.raises(ServiceError, match=said):
            await client.explain(photos[0], **asked)
        assert (await client.classify(photos[0], "imagenet")).result.labels


async def test_over_http(photos):
    async with serve(heads=("imagenet",), http_address="127.0.0.1:0") as host:

        def post(target: str) -> tuple[int, dict]:
            connection = http.client.HTTPConnection(host.http_address, timeout=60)
            path = f"/v1/images:explain?head=imagenet&target={target}"
            connection.request("POST", path, photos[0].read_bytes(), {"content-type": "image/jpeg"})
            with contextlib.closing(connection):
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())

        status, found = await asyncio.to_thread(post, "tabby")
        assert (status, found["target"], found["method"]) == (200, "tabby", "EXPLAIN_METHOD_ACTIVATION")
        assert len(found["map"]["values"]) == found["map"]["rows"] * found["map"]["columns"] == 49
        status, wrong = await asyncio.to_thread(post, "x")
        assert status == 400
        assert "there is no class 'x'" in json.dumps(wrong)


def bend(folder: Path) -> None:
    """Make `pooled` of a backbone what it was, but no mean: the ReLU of one, which is above 0 anyway."""
    model = onnx.load(folder / "model.onnx")
    made = next(node for node in model.graph.node if "pooled" in node.output)
    made.output[list(made.output).index("pooled")] = "mean_of_map"
    model.graph.node.append(helper.make_node("Relu", ["mean_of_map"], ["pooled"]))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["digest"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


async def test_a_vector_that_is_no_mean_of_a_map_is_explained_by_occlusion(models, photos, tmp_path):
    (tmp_path / "store").mkdir()
    store = linked_repository(models, tmp_path / "store")
    add_backbone(store, export_tiny(tmp_path / "made"))
    bend(store / "backbones" / TINY / "1")
    add_head(store, "on-tiny", TINY)
    for form in FORMS:
        async with form(models=store, heads=("on-tiny",)) as host, AsyncClient(host.address) as client:
            found = await client.explain(photos[0], "on-tiny", cells=2)
            assert (found.method, found.passes) == ("occlusion", 5)
            with pytest.raises(ServiceError, match="no mean of a map"):
                await client.explain(photos[0], "on-tiny", method="activation")

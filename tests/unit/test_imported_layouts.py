"""Detectors of YOLOX, NanoDet and torchvision become heads that find what the nets find, by their published rules."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("onnx", reason="needs the train extra: pip install -e '.[train]'")

import torch
from torchvision.models import detection

from tests.foreign_nets import BINS, CLASSES, HEIGHT, WIDTH, NanodetNet, YoloxNet, places, write_net
from tests.service.bundles import linked_repository
from trunkline.core.bundle import read_bundle
from trunkline.core.errors import InvalidRequestError, ModelInvalidError, TrunklineError
from trunkline.serving.session import load_session
from trunkline.training.export.weights import file_sha256, read_state
from trunkline.training.imported import torchvision_file
from trunkline.training.imported.build import build_detector
from trunkline.training.imported.request import ImportRequest

pytestmark = pytest.mark.filterwarnings("ignore")
THREE, FOUR = (8, 16, 32), (8, 16, 32, 64)
ORANGE = (255, 128, 0)


@pytest.fixture
def build(models, tmp_path):
    repository = linked_repository(models, tmp_path)
    names = tmp_path / "names.txt"
    names.write_text("\n".join(CLASSES))

    def build(file, **options):
        request = ImportRequest(file, "found", **{"labels": names, **options})
        report = build_detector(request, repository, tmp_path / f"built-{file.stem}")
        return report, read_bundle(report.folder)

    return build


def answer(bundle, colour=ORANGE):
    """Of a picture in one colour: boxes (N, 4) and scores (N, K)."""
    spec = bundle.manifest.preprocess
    picture = np.full((1, spec.height, spec.width, 3), colour, np.uint8)
    found = load_session(bundle).run({"image": picture})
    return found["boxes"][0], found["scores"][0]


def rows(count, columns, scale=1.0):
    return torch.from_numpy(np.random.default_rng(count).normal(0, scale, (count, columns)).astype(np.float32))


@pytest.mark.parametrize("strides", [THREE, FOUR])
def test_yolox_tells_offsets_in_cells_and_sides_as_logarithms(build, tmp_path, strides):
    given = rows(len(places(strides)), 4)
    report, bundle = build(write_net(tmp_path / "yolox.onnx", YoloxNet(given)))
    assert (report.kind, report.rows) == ("YOLOX", len(given))
    assert bundle.manifest.preprocess.resize == "pad"
    boxes, scores = answer(bundle)
    for (x, y, stride), (dx, dy, w, h), box in zip(places(strides), given.tolist(), boxes, strict=True):
        centre_x, centre_y = (x + dx) * stride, (y + dy) * stride
        half_w, half_h = math.exp(w) * stride / 2, math.exp(h) * stride / 2
        wanted = [centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h]
        assert box == pytest.approx(wanted, abs=1e-3)
    # Half an object times the share of each colour: the channels come to the net in its order, from 0 to 255.
    assert scores == pytest.approx(np.tile([0.5, 0.5 * 128 / 255, 0], (len(given), 1)), abs=1e-5)


def test_yolox_that_was_decoded_in_its_file_is_taken_as_it_is(build, tmp_path):
    grid = torch.tensor([[x * s, y * s, s, 2 * s] for x, y, s in places(THREE)], dtype=torch.float32)
    _, bundle = build(write_net(tmp_path / "decoded.onnx", YoloxNet(grid)))
    boxes, _ = answer(bundle)
    x, y, stride = places(THREE)[37]
    assert boxes[37].tolist() == [
        x * stride - stride / 2,
        y * stride - stride,
        x * stride + stride / 2,
        y * stride + stride,
    ]


def test_yolox_of_one_class_is_no_list_of_rows(build, tmp_path):
    class One(YoloxNet):
        def forward(self, picture):
            return super().forward(picture)[..., :6]

    names = tmp_path / "one.txt"
    names.write_text("person\n")
    report, bundle = build(write_net(tmp_path / "one.onnx", One(rows(len(places(THREE)), 4))), labels=names)
    assert (report.kind, report.classes) == ("YOLOX", 1)
    assert answer(bundle)[1] == pytest.approx(0.5)


@pytest.mark.parametrize(("strides", "shift", "resize"), [(THREE, 0.5, "pad"), (FOUR, 0.0, "squash")])
def test_nanodet_tells_sides_as_means_of_distributions(build, tmp_path, strides, shift, resize):
    logits = rows(len(places(strides)), 4 * BINS, scale=3)
    report, bundle = build(write_net(tmp_path / "nano.onnx", NanodetNet(logits), "data"))
    assert report.kind == ("NanoDet" if strides is THREE else "NanoDet-Plus")
    assert bundle.manifest.preprocess.resize == resize
    boxes, scores = answer(bundle)
    for number, (x, y, stride) in enumerate(places(strides)):
        sides = []
        for logit in logits[number].reshape(4, BINS).tolist():
            shares = [math.exp(value) for value in logit]
            sides.append(stride * sum(k * share for k, share in enumerate(shares)) / sum(shares))
        at_x, at_y = (x + shift) * stride, (y + shift) * stride
        wanted = [at_x - sides[0], at_y - sides[1], at_x + sides[2], at_y + sides[3]]
        assert boxes[number] == pytest.approx(wanted, abs=1e-2)
    assert scores == pytest.approx(np.tile([1, 128 / 255, 0], (len(logits), 1)), abs=1e-4)


def torchvision_net(name, **options):
    """With random weights whose scores differ: in a fresh net nearly all are equal, and so is what is suppressed."""
    torch.manual_seed(3)
    net = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=4, **options)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of all that it sees
    with torch.no_grad():
        features = net.train().backbone(torch.rand(4, 3, 160, 160))
        if name.startswith("ssdlite"):
            net.head(list(features.values()))
    for key, value in net.state_dict().items():
        if ("cls" in key or "classification_head" in key) and key.endswith("weight") and value.ndim > 1:
            torch.nn.init.normal_(value, std=0.03)
    return net.eval()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ssdlite320_mobilenet_v3_large", (320, 320)),
        ("fcos_resnet50_fpn", (160, 128)),
        ("retinanet_resnet50_fpn_v2", (160, 128)),
        ("fasterrcnn_resnet50_fpn_v2", (160, 128)),
    ],
)
def test_weights_of_torchvision_find_what_torchvision_finds(build, tmp_path, photos, name, size):
    width, height = size
    net = torchvision_net(name)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    report, bundle = build(tmp_path / "weights.pth", width=width, height=height, samples=(photos[-1],))
    assert report.kind == f"torchvision {name}"
    assert bundle.labels == CLASSES
    assert bundle.manifest.preprocess.resize == ("squash" if name.startswith("ssdlite") else "pad")
    inputs, outputs = bundle.read_golden()
    picture = torch.from_numpy(inputs["image"][0].transpose(2, 0, 1).astype(np.float32) / 255)
    # The published model itself, told not to make pictures of this size larger or smaller.
    net.transform.min_size, net.transform.max_size = (min(size),), max(size)
    with torch.inference_mode():
        want = net([picture])[0]
    # RetinaNet and FCOS give the number of the background, too, where nobody has taught them not to.
    kept = (want["scores"] > 0.05) & (want["labels"] > 0)
    boxes, scores = outputs["boxes"][0], outputs["scores"][0]
    assert kept.sum() > 5
    hits = 0
    for box, label, score in zip(*(want[key][kept].numpy() for key in ("boxes", "labels", "scores")), strict=True):
        near = np.abs(boxes - box).max(axis=1) < 0.5
        hits += bool((np.abs(scores[near, label - 1] - score) < 1e-3).any())
    assert hits >= 0.98 * int(kept.sum())  # where two are nearly equal, another one is suppressed


def test_the_files_that_torchvision_gives_out_have_its_norms(tmp_path, monkeypatch):
    """Nothing is added to the variances in them, which no key of the file says; they are known by their hash."""
    name = "retinanet_resnet50_fpn"
    for weights in (detection.FasterRCNN_ResNet50_FPN_Weights, detection.RetinaNet_ResNet50_FPN_Weights):
        url = weights.COCO_V1.url
        assert f"-{torchvision_file.NETS[url.rpartition('/')[2].partition('_coco')[0]].published}.pth" in url
    file = tmp_path / "weights.pth"
    torch.save(getattr(detection, name)(weights=None, weights_backbone=None, num_classes=4).state_dict(), file)

    def eps():
        net = torchvision_file.built(read_state(file), file)[1]
        return {module.eps for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)}

    assert eps() == {1e-5}
    own = replace(torchvision_file.NETS[name], published=file_sha256(file)[:8])
    monkeypatch.setattr(torchvision_file, "NETS", {name: own})
    assert eps() == {0.0}


def test_an_onnx_file_that_torchvision_exported_is_read(build, tmp_path, photos):
    net = torchvision_net("fasterrcnn_mobilenet_v3_large_320_fpn", box_score_thresh=0.0)
    file = tmp_path / "exported.onnx"
    names = ["boxes", "labels", "scores"]
    torch.onnx.export(
        net,
        ([torch.rand(3, 128, 160)],),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        output_names=names,
    )
    report, bundle = build(file, samples=(photos[-1],))
    assert (report.rows, report.difference) == (None, 0.0)
    inputs, outputs = bundle.read_golden()
    assert inputs["image"].shape == (1, 128, 160, 3)
    assert outputs["boxes"].shape[1:] == (outputs["scores"].shape[1], 4)
    assert outputs["scores"].max() > 0


# Names and refusals ------------------------------------------------------------------------------------------


def test_the_classes_of_coco_need_no_file(build, tmp_path):
    class Coco(YoloxNet):
        def forward(self, picture):
            return torch.cat([super().forward(picture), torch.full((1, self.values.shape[0], 77), 0.01)], dim=2)

    _, bundle = build(write_net(tmp_path / "coco.onnx", Coco(rows(len(places(THREE)), 4))), labels=Path("coco"))
    assert (len(bundle.labels), bundle.labels[0], bundle.labels[-1]) == (80, "person", "toothbrush")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda found: found[:, :-1], r"shape \[1, 419, 8\] for 3 classes; known are .*YOLOX.*NanoDet"),
        (lambda found: found[..., :-1], r"shape \[1, 420, 7\] for 3 classes"),
        (lambda found: torch.cat([found] * 3, dim=1), "YOLOv5's own export has other columns"),
        (lambda found: found * 40, "no probabilities|not finite"),
        (lambda found: found[0], r"shape \[420, 8\]"),
        (lambda found: (found, found), "has 2 outputs; a detector"),
        (lambda found: (found, found + 1, found + 2), "known are one output, and boxes"),
    ],
)
def test_outputs_that_nobody_exports_are_named(build, tmp_path, change, word):
    class Net(YoloxNet):
        def forward(self, picture):
            return change(super().forward(picture))

    file = tmp_path / "odd.onnx"
    torch.onnx.export(
        Net(rows(len(places(THREE)), 4)).eval(),
        (torch.zeros(1, 3, HEIGHT, WIDTH),),
        file,
        dynamo=False,
        opset_version=11,
    )
    with pytest.raises(ModelInvalidError, match=word):
        build(file)


def test_weights_that_are_of_no_known_detector_are_refused(build, tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"model": {"head.weight": torch.zeros(3, 4)}}, file)
    with pytest.raises(
        InvalidRequestError, match=r"fits no detector that is known: fasterrcnn_resnet50_fpn, .*ssdlite"
    ):
        build(file)
    file.write_bytes(file.read_bytes()[:400])
    with pytest.raises(TrunklineError, match="holds no weights that can be read safely"):
        build(file)


def test_names_that_do_not_fit_the_weights_are_refused(build, tmp_path):
    names = tmp_path / "two.txt"
    names.write_text("a\nb\n")
    torch.save(torchvision_net("ssdlite320_mobilenet_v3_large").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(InvalidRequestError, match="knows 4 classes with the background, and 2 have a name: give 3"):
        build(tmp_path / "weights.pth", labels=names)
    with pytest.raises(InvalidRequestError, match="width 100 cannot be served"):
        build(tmp_path / "weights.pth", width=100)

"""What a two-stage detector learns from, and whether its exported file gives the same."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import torch

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import PreprocessSpec, frame_of
from trunkline.core.progress import Epoch
from trunkline.core.results import Box
from trunkline.core.train_request import TrainRequest
from trunkline.heads.detection.learn import Learner
from trunkline.heads.detection.learn.anchors import fit_anchors, shape_iou, spread_over_levels
from trunkline.heads.detection.learn.metric import AveragePrecision
from trunkline.heads.detection.learn.outlines import Outlines, cells_for
from trunkline.heads.detection.learn.parity import largest_difference
from trunkline.heads.detection.learn.proposals import covered
from trunkline.heads.detection.learn.rcnn import Rcnn, RcnnPlan
from trunkline.heads.detection.learn.sizes import SIZES
from trunkline.heads.detection.learn.spec import spec_for
from trunkline.heads.detection.learn.stages import Sampled
from trunkline.heads.detection.learn.truth import annotation_in, target
from trunkline.serving.session import OnnxSession
from trunkline.training.augment import moved_with, view_with
from trunkline.training.data.dataset import Sample
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.fit import best_epoch
from trunkline.training.row_export import check_rows, export_rows, steady_golden

CHANNELS = {"c2": 24, "c3": 40, "c4": 112, "c5": 320}
STRIDES = {"c2": 4, "c3": 8, "c4": 16, "c5": 32}
SIDE = 128


class Filled:
    """The outline of an object that fills its box."""

    def __init__(self, width, height, box):
        self.mask = np.zeros((height, width), np.uint8)
        self.mask[int(box.y_min) : int(box.y_max), int(box.x_min) : int(box.x_max)] = 1

    def load(self):
        return self.mask


def truth(*box, label=0, crowd=False, picture=None):
    where = Box(*box)
    return ObjectTruth(label, where, Filled(*picture, where) if picture else None, crowd)


def sample(*objects, size=(640, 480)):
    return Sample("a.jpg", "train", None, (), lambda: b"", objects=objects, size=size)


def net(*, masks=False, focal=False, size="light"):
    torch.manual_seed(0)
    shape = SIZES[size]
    anchors = spread_over_levels(fit_anchors(np.array([[20.0, 20], [40, 60]]), 3 * len(shape.maps)), len(shape.maps))
    cells = (20, 10) if masks else None
    names = names_of(size, masks=masks)
    return Rcnn(
        {name: CHANNELS[name] for name in names}, RcnnPlan(2, shape, (SIDE, SIDE), anchors, cells=cells, focal=focal)
    )


def names_of(size, *, masks):
    return ("c2", *SIZES[size].maps) if masks and size == "light" else SIZES[size].maps


def maps(count, size="light", *, masks=False):
    rng = np.random.default_rng(1)
    return {
        name: rng.standard_normal((count, CHANNELS[name], SIDE // STRIDES[name], SIDE // STRIDES[name])).astype(
            np.float32
        )
        for name in names_of(size, masks=masks)
    }


def targets(count):
    one = {"boxes": torch.tensor([[10.0, 10, 40, 60]]), "labels": torch.tensor([2]), "ignored": torch.zeros(0, 4)}
    return [{**one, "masks": torch.ones(1, SIDE, SIDE, dtype=torch.uint8)} for _ in range(count)]


def test_anchors_are_the_shapes_of_the_data_by_size():
    rng = np.random.default_rng(0)
    shapes = np.array([[12.0, 10], [40, 40], [30, 90]])
    sides = np.repeat(shapes, 50, axis=0) * rng.uniform(0.95, 1.05, (150, 2))
    found = fit_anchors(sides, 3)
    assert found == pytest.approx(shapes[[0, 1, 2]], rel=0.05)
    assert shape_iou(sides, found).max(axis=1).mean() > 0.9


@pytest.mark.parametrize("sides", [[[20.0, 20]], [[20.0, 20], [60, 30]], [[20.0, 20]] * 40])
def test_few_shapes_still_make_all_anchors(sides):
    found = fit_anchors(np.array(sides), 9)
    assert found.shape == (9, 2)
    assert (found > 0).all()
    assert [len(level) for level in spread_over_levels(found, 3)] == [3, 3, 3]


def test_more_anchors_fit_better():
    sides = np.random.default_rng(2).uniform(8, 200, (400, 2))
    fits = [shape_iou(sides, fit_anchors(sides, count)).max(axis=1).mean() for count in (3, 9, 27)]
    assert fits == sorted(fits)


@pytest.mark.parametrize(
    ("sizes", "spec"),
    [
        ([(640, 480)] * 3, ("squash", 512, 384)),
        ([(480, 640)] * 3, ("squash", 384, 512)),
        ([(640, 480), (500, 500), (300, 600)], ("pad", 512, 512)),
    ],
)
def test_preprocessing_keeps_the_shapes_of_the_pictures(sizes, spec):
    found = spec_for(sizes)
    assert (found.resize, found.width, found.height) == spec


def test_boxes_and_masks_lie_in_the_frame_of_the_model():
    frame = frame_of(200, 100, PreprocessSpec(resize="pad", width=64, height=64))
    found = annotation_in([truth(50, 20, 150, 80, picture=(200, 100))], frame, masks=True)
    assert found["boxes"][0].tolist() == pytest.approx([16, 16 + 6.4, 48, 16 + 25.6], abs=0.01)
    y, x = np.nonzero(found["masks"][0].numpy())
    assert (x.min(), x.max(), y.min(), y.max()) == (16, 47, 22, 41)


@pytest.mark.parametrize("kind", ["mirror", "flips", "boxes", "overhead", "pasted", "scene", "photo"])
@pytest.mark.parametrize("height", [96, 128])
@pytest.mark.parametrize("seed", range(4))
def test_a_view_moves_boxes_with_the_pixels(kind, height, seed):
    """A bright rectangle is where its box and its mask say, also without the pixels."""
    pixels = np.zeros((1, height, 128, 3), np.uint8)
    pixels[:, 30:60, 40:100] = 255
    frame = frame_of(128, height, PreprocessSpec(resize="squash", width=128, height=height))
    before = annotation_in([truth(40, 30, 100, 60, picture=(128, height))], frame, masks=True)
    seen, annotation = view_with(pixels, before, kind, height, 128, seed)
    alone = moved_with(before, kind, height, 128, seed)
    assert torch.equal(annotation["boxes"], alone["boxes"])
    assert torch.equal(annotation["masks"], alone["masks"])
    moved = target(annotation)
    bright = seen[0].max(axis=2) > 128
    if len(moved["boxes"]):
        y, x = np.nonzero(bright)
        edges = [x.min(), y.min(), x.max() + 1, y.max() + 1]
        assert moved["boxes"][0].tolist() == pytest.approx(edges, abs=2)
        assert (moved["masks"][0].numpy().astype(bool) == bright).mean() > 0.97


def test_a_view_from_above_lies_any_way_at_about_the_same_size():
    pixels = np.zeros((1, 128, 128, 3), np.uint8)
    frame = frame_of(128, 128, PreprocessSpec(resize="squash", width=128, height=128))
    before = annotation_in([truth(52, 58, 76, 70, picture=(128, 128))], frame, masks=False)
    seen = [view_with(pixels, before, "overhead", 128, 128, seed)[1]["boxes"] for seed in range(64)]
    boxes = torch.cat([each.as_subclass(torch.Tensor) for each in seen])
    sides = boxes[:, 2:] - boxes[:, :2]  # (64, 2)
    assert 16 < int((sides[:, 0] > sides[:, 1]).sum()) < 48
    times = (sides.prod(dim=1) / (24 * 12)).sqrt()
    assert 0.75 < times.min() < 0.9
    assert 1.1 < times.max() < 1.35


def test_what_is_cut_off_and_crowds_are_neither_objects_nor_background():
    frame = frame_of(128, 128, PreprocessSpec(resize="squash", width=128, height=128))
    objects = [truth(10, 10, 50, 50, label=1), truth(120, 0, 200, 50), truth(0, 80, 90, 128, crowd=True)]
    found = target(annotation_in([*objects, truth(200, 200, 240, 240)], frame, masks=False))
    assert found["boxes"].tolist() == [[10, 10, 50, 50]]
    assert found["labels"].tolist() == [2]
    assert found["ignored"].tolist() == [[120, 0, 128, 50], [0, 80, 90, 128]]
    inside = covered(torch.tensor([[0.0, 90, 40, 128], [0, 0, 40, 40]]), found["ignored"])
    assert inside.tolist() == [True, False]


def test_anchors_in_a_crowd_are_no_background():
    found = net()
    crowd = torch.tensor([[0.0, 0, SIDE, SIDE]])
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    inputs = [torch.from_numpy(value) for value in maps(2).values()]
    losses = [found.losses(inputs, [{**empty, "ignored": region}] * 2) for region in (torch.zeros(0, 4), crowd)]
    assert losses[0]["proposal_class"] > 0
    assert losses[0]["class_1"] > 0
    assert all(value == 0 for value in losses[1].values())


@pytest.mark.parametrize("focal", [False, True])
def test_losses_fall_with_learning(focal):
    found = net(masks=True, focal=focal)
    optimiser = torch.optim.AdamW(found.parameters(), 1e-3)
    inputs, seen = [torch.from_numpy(value) for value in maps(2, masks=True).values()], []
    for _ in range(8):
        losses = found.losses(inputs, targets(2))
        seen.append(float(torch.stack(list(losses.values())).sum().detach()))
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    stages = {f"{name}_{number}" for name in ("class", "box") for number in (1, 2, 3)}
    assert set(losses) == {"proposal_class", "proposal_box", "mask"} | stages
    assert seen[-1] < 0.7 * seen[0]


@pytest.mark.parametrize(("size", "masks"), [("light", True), ("medium", False)])
def test_the_exported_file_gives_what_torch_gives(size, masks):
    found, features = net(masks=masks, size=size), maps(2, size, masks=masks)
    session = OnnxSession(export_rows(found, features), "test")
    assert session.outputs == found.outputs
    assert check_rows(found, session, features) < 1e-4
    inputs, outputs = steady_golden(session, features)
    count = outputs["boxes"].shape[1]
    assert outputs["boxes"].shape == (1, count, 4)
    assert outputs["scores"].shape == (1, count, 2)
    assert 0 < count <= (SIZES[size].outlined if masks else SIZES[size].proposals)
    if masks:
        assert outputs["masks"].shape == (1, count, 40, 20)
    assert all(len(value) == 1 for value in inputs.values())
    other = net(masks=masks, size=size)
    torch.nn.init.normal_(other.regions.stages[0].box_predictor.cls_score.weight)
    with pytest.raises(ModelInvalidError, match="differ"):
        check_rows(other, session, features)


@pytest.mark.parametrize(
    ("sides", "cells"),
    [
        ([[50, 50]], (14, 14)),
        ([[50, 72], [10, 14], [9, 9]], (17, 12)),
        ([[40, 200]], (20, 10)),
        ([[200, 40]], (10, 20)),
    ],
)
def test_cells_of_an_outline_have_the_shape_of_the_objects(sides, cells):
    assert cells_for(np.array(sides, float)) == cells
    assert cells_for(np.zeros((0, 2))) == (14, 14)


def test_an_outline_is_learned_from_the_fine_map():
    """The object ends where the fine map says so, which the pyramid does not know."""
    torch.manual_seed(0)
    outlines = Outlines(CHANNELS["c2"], SIZES["light"], (SIDE, SIDE), (20, 10))
    levels = {name: torch.zeros(1, 96, SIDE // STRIDES[name], SIDE // STRIDES[name]) for name in SIZES["light"].maps}
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    mask[:, 16:, 8:40] = 1
    fine = mask[:, None, ::4, ::4].float().expand(1, CHANNELS["c2"], -1, -1)
    box = torch.tensor([[8.0, 8, 56, 56]])
    sampled = Sampled([box], [torch.tensor([0])], [torch.tensor([1])])
    optimiser = torch.optim.AdamW(outlines.parameters(), 3e-3)
    for _ in range(60):
        loss = outlines.loss(levels, fine, sampled, [mask])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = outlines(levels, fine, [box])[0] > 0  # (40, 20)
    wanted = torch.zeros(40, 20, dtype=torch.bool)
    wanted[7:, :13] = True  # 8 of 48 pixels are above the object, 16 beside it
    assert (found == wanted).float().mean() > 0.95


def test_a_step_without_objects_has_no_outlines_to_learn():
    outlines = Outlines(CHANNELS["c2"], SIZES["light"], (SIDE, SIDE))
    levels = {name: torch.zeros(1, 96, SIDE // STRIDES[name], SIDE // STRIDES[name]) for name in SIZES["light"].maps}
    sampled = Sampled([torch.tensor([[0.0, 0, 9, 9]])], [torch.tensor([0])], [torch.tensor([0])])
    nothing = torch.zeros(0, SIDE, SIDE, dtype=torch.uint8)
    assert outlines.loss(levels, torch.zeros(1, CHANNELS["c2"], SIDE // 4, SIDE // 4), sampled, [nothing]) == 0


def test_boxes_that_are_hardly_one_get_no_outline_in_the_exported_file_either():
    found, features = net(masks=True), maps(2, masks=True)
    for stage in found.regions.stages:
        torch.nn.init.constant_(stage.box_predictor.cls_score.bias, 0)
        stage.box_predictor.cls_score.bias.data[0] = 50  # background
    session = OnnxSession(export_rows(found, features), "test")
    outputs = session.run({name: value[:1] for name, value in features.items()})
    assert [outputs[name].shape for name in found.outputs] == [(1, 0, 4), (1, 0, 2), (1, 0, 40, 20)]
    _, golden = steady_golden(session, features)  # no picture has a row, so one without is taken
    assert golden["boxes"].shape == (1, 0, 4)


def test_golden_outputs_have_rows_where_a_picture_has_some():
    found, features = net(masks=True), maps(2, masks=True)
    for value in features.values():
        value[0] = 0  # a picture with nothing in it
    for stage in found.regions.stages:
        stage.box_predictor.cls_score.weight.data *= 20
        stage.box_predictor.cls_score.bias.data[:] = torch.tensor([12.0, 0, 0])
    session = OnnxSession(export_rows(found, features), "test")
    empty, _ = (session.run({name: value[i : i + 1] for name, value in features.items()}) for i in (0, 1))
    assert empty["boxes"].size == 0
    inputs, outputs = steady_golden(session, features)
    assert inputs["c3"].any()
    assert outputs["boxes"].size > 0


def test_rows_that_change_places_are_no_difference():
    rng = np.random.default_rng(0)
    want = {"boxes": rng.uniform(0, 100, (1, 40, 4)), "scores": rng.uniform(0, 1, (1, 40, 3))}
    order = rng.permutation(40)
    assert largest_difference(want, {name: value[:, order] for name, value in want.items()}) == 0
    one_less = {name: value[:, 1:] for name, value in want.items()}
    assert largest_difference(want, one_less) == 0
    other = {**want, "scores": want["scores"] + 0.1}
    assert largest_difference(want, other) == np.inf
    assert largest_difference(want, {name: value[:, :0] for name, value in want.items()}) == np.inf


def test_average_precision_counts_no_answer_in_an_ignored_region():
    measure = AveragePrecision()
    known = {"boxes": torch.tensor([[0.0, 0, 10, 10]]), "labels": torch.tensor([1])}
    answers = {
        "boxes": torch.tensor([[50.0, 50, 60, 60], [0, 0, 10, 10]]),
        "scores": torch.tensor([0.9, 0.8]),
        "labels": torch.tensor([1, 1]),
    }
    found = []
    for ignored in (torch.zeros(0, 4), torch.tensor([[40.0, 40, 70, 70]])):
        measure.update([answers], [{**known, "ignored": ignored}])
        found.append(float(measure.compute()))
        measure.reset()
    assert found == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize(
    ("fields", "samples", "word"),
    [
        ({}, [Sample("a.jpg", "train", 0, (), lambda: b"")], "no boxes"),
        ({}, [sample()], "no object"),
        ({}, [sample(truth(0, 0, 9, 9, crowd=True))], "no object"),
        ({"augmentation": "scene"}, [], "boxes, flips, mirror"),
        ({"features": ("c5",)}, [sample(truth(0, 0, 9, 9))], "leave --feature out"),
    ],
)
def test_what_cannot_be_learned_is_refused(fields, samples, word):
    request = TrainRequest(name="x", data="x", task="detection", mode="transfer", **fields)
    with pytest.raises(InvalidRequestError, match=word):
        Learner(("a", "b"), (), request).prepare(samples)


def test_a_learner_fits_itself_to_the_data():
    request = TrainRequest(name="x", data="x", task="detection", mode="transfer", net="two-stage")
    learner = Learner(("a",), (), request)
    learner.prepare([sample(truth(0, 0, 100, 50)), sample(truth(0, 0, 200, 100))])
    assert (learner.spec.width, learner.spec.height) == (512, 384)
    anchors = np.array(learner.settings()["anchors"])
    assert anchors.shape == (3, 3, 2)
    assert anchors[..., 0] / anchors[..., 1] == pytest.approx(np.full((3, 3), 2.0), rel=0.05)
    assert "largest_nms_iou" not in learner.settings()


def test_the_command_of_a_detector_says_its_size_and_loss():
    request = TrainRequest(name="x", data="x", task="detection", mode="transfer", size="medium", loss="focal")
    assert "--size medium --loss focal" in request.command()


def test_the_best_epoch_of_a_detector_is_the_one_of_the_largest_metric():
    epochs = [Epoch(1, 3, 1.0, 0.5, 0.2), Epoch(2, 3, 0.9, 0.6, 0.4), Epoch(3, 3, 0.8, 0.7, 0.3)]
    assert best_epoch(epochs).number == 1
    assert best_epoch(epochs, by_metric=True).number == 2

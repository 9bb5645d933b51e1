"""Data with masks, and what segmentation learns from them."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import torch
from torchvision.tv_tensors import Mask

from trunkline.core.errors import DataInvalidError, ModelInvalidError
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.heads.segmentation.label_map import IGNORED, in_frame
from trunkline.heads.segmentation.learn.decoders import decoder_net
from trunkline.heads.segmentation.learn.losses import SegmentationLoss, median_frequencies
from trunkline.heads.segmentation.learn.segnet import SegNet
from trunkline.heads.segmentation.scores import SegmentationScores, intersection_over_union
from trunkline.training.augment import view_of, view_with
from trunkline.training.data.check import check_dataset
from trunkline.training.data.dataset import Sample
from trunkline.training.data.read import read_dataset
from trunkline.training.features import Recipe, annotated_view, annotation_of_view
from trunkline.training.head_export import check_head

CLASSES = "class_id,class_name\n0,sky\n3,road\n11,void\n"
CHANNELS = {"c2": 24, "c3": 40, "c4": 112, "c5": 320}


def write(folder, name, value=0, mode="L", size=(8, 6)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


@pytest.mark.parametrize(
    ("pictures", "masks", "layout", "split"),
    [
        ("train", "trainannot", "camvid", "train"),
        ("val/images", "val/masks", "masks", "val"),
        ("images/test", "masks/test", "masks", "test"),
        ("images", "masks", "masks", ""),
    ],
)
def test_folders_of_pictures_and_masks_are_read(tmp_path, pictures, masks, layout, split):
    (tmp_path / "classes.csv").write_text(CLASSES)
    write(tmp_path, f"{pictures}/a.jpg", 200)
    write(tmp_path, f"{masks}/a.png", 3)
    data = read_dataset(tmp_path)
    assert (data.layout, data.classes) == (layout, ("sky", "road"))
    assert [(sample.name, sample.split, sample.label) for sample in data.samples] == [
        (f"{pictures}/a.jpg", split, None)
    ]
    assert (data.samples[0].mask.load((8, 6)) == 1).all()
    assert check_dataset(data).classes["road"] == {split: 1}


def test_void_and_255_belong_to_no_class(tmp_path):
    (tmp_path / "classes.csv").write_text(CLASSES)
    write(tmp_path, "images/a.png")
    values = np.array([[0, 3, 11, 255]], np.uint8)
    (tmp_path / "masks").mkdir()
    Image.fromarray(values).save(tmp_path / "masks/a.png")
    assert read_dataset(tmp_path).samples[0].mask.load().tolist() == [[0, 1, IGNORED, IGNORED]]


def test_without_names_of_the_classes_the_data_is_refused(tmp_path):
    write(tmp_path, "images/a.png")
    write(tmp_path, "masks/a.png")
    with pytest.raises(DataInvalidError, match=r"classes\.csv"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda folder: write(folder, "masks/a.png", 3, size=(4, 4)), "4x4"),
        (lambda folder: write(folder, "masks/a.png", 5), "value 5"),
        (lambda folder: write(folder, "masks/a.png", (1, 2, 3), "RGB"), "RGB"),
        (lambda folder: (folder / "masks/a.png").write_text("text"), "cannot be read"),
    ],
)
def test_a_mask_that_does_not_fit_leaves_its_picture_out_and_is_named(tmp_path, spoil, word):
    (tmp_path / "classes.csv").write_text(CLASSES)
    write(tmp_path, "images/a.png")
    write(tmp_path, "masks/a.png")
    spoil(tmp_path)
    report = check_dataset(read_dataset(tmp_path))
    (remark,) = report.remarks
    assert (remark.kind, remark.left_out) == ("mask", "picture")
    assert "masks/a.png" in remark.text
    assert word in remark.text
    assert report.problems[0].startswith("no picture is for training: the first that is left out is images/a.png")


def test_a_mask_moves_with_its_picture():
    """The pixels of the picture are the labels of the mask, so both views must show the same."""
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 2, (8, 10)), np.ones((8, 8), int)).astype(np.uint8)
    pixels = np.repeat(labels[None, :, :, None] * 255, 3, axis=3)

    seen, moved = view_with(pixels, Mask(torch.from_numpy(labels)[None]), "photo", 48, 64, seed=4)
    shown = seen[0].astype(int).mean(axis=2)
    middle = (shown.max() + shown.min()) / 2
    assert ((shown > middle) == moved[0].numpy().astype(bool)).mean() > 0.95
    assert (seen == view_of(pixels, "photo", 48, 64, seed=4)).all()


@pytest.mark.parametrize("cut", [None, (64, 96)])
@pytest.mark.parametrize("view", [0, 1, 2])
def test_the_truth_of_a_view_needs_no_pixels(tmp_path, cut, view):
    """The mask is the picture, so what the view shows and what its truth says must be the same."""
    labels = np.kron(np.random.default_rng(0).integers(0, 2, (9, 12)), np.ones((16, 16), int)).astype(np.uint8)
    Image.fromarray(labels * 255).convert("RGB").save(tmp_path / "a.png")
    sample = Sample("a.png", "train", None, (), (tmp_path / "a.png").read_bytes)
    spec = PreprocessSpec(resize="squash", width=128, height=96)
    recipe = Recipe((), spec, "scene", seed=3, cut=cut)

    def annotate(_, frame):
        return Mask(torch.from_numpy(in_frame(labels, frame))[None])

    seen, truth = annotated_view(sample, sample.read(), recipe, view, annotate)
    alone = annotation_of_view(sample, sample.read(), recipe, view, annotate)
    assert torch.equal(truth, alone)
    assert seen.shape[1:3] == truth.shape[1:] == (cut or (96, 128))
    shown = seen[0].astype(int).mean(axis=2)
    middle = (shown.max() + shown.min()) / 2
    assert ((shown > middle) == truth[0].numpy().astype(bool)).mean() > 0.93


def test_masks_are_seen_in_the_frame_of_the_model():
    labels = np.array([[0, 1], [0, 1]], np.uint8)
    padded = Frame(2, 2, 0.5, 0.0, 0.5, -1.0, 4, 8)  # two rows of padding above and below
    seen = in_frame(labels, padded)
    assert (seen[:2] == IGNORED).all()
    assert (seen[6:] == IGNORED).all()
    assert seen[2:6].tolist() == [[0, 0, 1, 1]] * 4


@pytest.mark.parametrize("decoder", ["light", "unet", "fpn", "deeplabv3plus", "pan", "upernet"])
@pytest.mark.parametrize("size", ["light", "medium"])
def test_every_decoder_answers_for_the_whole_input(decoder, size):
    net = decoder_net(decoder, size, CHANNELS, 5, 0.0).eval()
    strides = zip(CHANNELS.values(), (4, 8, 16, 32), strict=True)
    maps = [torch.rand(2, channels, 256 // stride, 320 // stride) for channels, stride in strides]
    height, width = (128, 160) if decoder == "unet" else (64, 80)
    assert net(*maps).shape == (2, 5, height, width)


def test_segnet_puts_values_back_where_they_came_from():
    net = SegNet(3, 4, "light").eval()
    image = torch.randint(0, 255, (1, 64, 96, 3), dtype=torch.uint8)
    assert net(image).shape == (1, 4, 64, 96)
    assert len(net.encoder) == len(net.decoder) == 5


def test_parity_leaves_out_what_a_net_that_chooses_places_may_differ_in():
    class Off:
        """A session that is off in one value of a hundred."""

        def run(self, features):
            found = features["image"].astype(np.float32)
            found[:, 0, 0] += 1
            return {"logits": found}

    class Same(torch.nn.Module):
        def forward(self, *features):
            return features[0].float()

    net, features = Same(), {"image": np.zeros((2, 10, 10), np.float32)}
    with pytest.raises(ModelInvalidError, match="differ by 1"):
        check_head(net, Off(), features, "logits")
    net.outliers = 0.02
    assert check_head(net, Off(), features, "logits") == 0


def test_rare_classes_weigh_more_by_median_frequency():
    mask = np.zeros((10, 10), np.uint8)
    mask[0, :5], mask[1] = 1, IGNORED
    weights = median_frequencies([mask], 3)
    assert weights[1] > weights[0] > 0
    assert weights[2] == 0


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "focal", "combined"])
def test_a_loss_falls_where_answers_are_right_and_leaves_void_out(name):
    truth = torch.randint(0, 3, (2, 8, 8))
    right = 10 * torch.nn.functional.one_hot(truth, 3).permute(0, 3, 1, 2).float()
    loss = SegmentationLoss(name, None, 0.0)
    assert loss(right, truth) < 0.1 < loss(torch.zeros_like(right), truth)
    void = truth.clone()
    void[:, :4] = IGNORED
    spoiled = right.clone()
    spoiled[:, :, :4] = -spoiled[:, :, :4]
    assert loss(spoiled, void) < 0.1


def test_intersection_over_union_by_hand():
    confusion = np.array([[[3, 1, 0], [1, 5, 0], [0, 0, 0]]])
    assert intersection_over_union(confusion[0])[:2].tolist() == [3 / 5, 5 / 7]
    scores = SegmentationScores(confusion, (b"",), ("a", "b", "c"))
    assert scores.metrics()["mean_iou"] == pytest.approx((3 / 5 + 5 / 7) / 2)
    assert scores.metrics()["global_accuracy"] == pytest.approx(0.8)
    low, high = scores.interval()
    assert low <= scores.metrics()["mean_iou"] <= high

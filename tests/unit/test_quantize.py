"""A backbone in 8 bits: near the exact one, within what every processor computes alike, or not there at all."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

pytest.importorskip("timm", reason="needs the train extra: pip install -e '.[train]'")

from trunkline.core.bundle import read_bundle
from trunkline.core.errors import InvalidRequestError, ModelInvalidError, NotFoundError
from trunkline.core.repository import Repository
from trunkline.serving.session import load_session
from trunkline.training.export import ExportRequest, export_backbone
from trunkline.training.quantize import QuantizeRequest, quantize_backbone
from trunkline.training.quantize.equalize import equalize, find_streams
from trunkline.training.quantize.net import Net, cuts, tapped
from trunkline.training.quantize.qdq import find_pixels
from trunkline.training.quantize.ranges import Spread, scale_of, spreads
from trunkline.training.quantize.rounding import HIGHEST, round_rows

TINY = "timm-test_resnet"


def pictures(folder, count: int, side: int = 64):
    random = np.random.default_rng(5)
    folder.mkdir()
    for number in range(count):
        rough = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(rough).resize((side, side)).save(folder / f"{number:03}.png")
    return tuple(sorted(folder.iterdir()))


def quiet(stage: str, done: int, total: int) -> None:
    pass


def everything(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("pictures") / "p", 70)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A tiny ResNet with random weights."""
    folder = tmp_path_factory.mktemp("models")
    export_backbone(ExportRequest(architecture="timm/test_resnet", weights="none"), folder, lambda _: None)
    return folder


@pytest.fixture(scope="module")
def report(models, files):
    return quantize_backbone(QuantizeRequest(TINY, files, calibrated=40, float_layers=3), models, quiet)


@pytest.fixture(scope="module")
def shipped() -> Net:
    from tests.conftest import ROOT

    return Net(Repository(ROOT / "models").backbone("efficientnet-lite0").read_model())


def test_the_bundle_is_another_backbone_made_from_the_first(models, report):
    exact, made = Repository(models).backbone(TINY), read_bundle(report.backbone)
    assert report.backbone.parts[-2:] == (f"{TINY}-int8", "1")
    assert made.manifest.features == exact.manifest.features
    assert made.manifest.quantized_from.digest == exact.manifest.digest != made.manifest.digest == report.digest
    assert everything(report.backbone) == ["CARD.md", "golden.npz", "manifest.json", "model.onnx"]
    card = made.card
    assert f"On {report.measured.pictures} pictures that were not calibrated with" in card
    assert report.measured.pictures == 35
    load_session(made)


def test_features_stay_near_the_exact_ones(report):
    assert min(report.measured.cosines.values()) > 0.98


def test_weights_leave_room_for_sums_of_16_bits(report):
    graph = onnx.load(report.backbone / "model.onnx").graph
    numbers = [numpy_helper.to_array(each) for each in graph.initializer if each.data_type == onnx.TensorProto.INT8]
    assert len(numbers) > 5
    assert max(int(np.abs(each.astype(int)).max()) for each in numbers) <= HIGHEST
    assert 2 * 255 * HIGHEST < 2**15


def test_a_batch_is_its_pictures_and_other_sizes_work(report):
    session = load_session(read_bundle(report.backbone))
    image = np.random.default_rng(1).integers(0, 256, (3, 96, 160, 3), dtype=np.uint8)
    together = session.run({"image": image})
    for name, value in together.items():
        alone = np.concatenate([session.run({"image": image[i : i + 1]}, [name])[name] for i in range(3)])
        np.testing.assert_allclose(value, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"pictures": ()}, InvalidRequestError, "0 pictures are too few: .* name a folder with more"),
        ({"backbone": "nothing"}, NotFoundError, "there is no backbone 'nothing'"),
        ({"backbone": f"{TINY}-int8"}, InvalidRequestError, f"in 8 bits already: quantize {TINY}"),
        ({"name": "No Name"}, InvalidRequestError, "--name"),
        ({"calibrated": 3}, InvalidRequestError, "--pictures 3 are too few"),
        ({"float_layers": 1000}, InvalidRequestError, "no convolutions that could compute on integers"),
    ],
)
def test_what_cannot_be_done_says_what_to_do_and_leaves_nothing(models, report, files, changes, error, says):
    before = everything(models)
    with pytest.raises(error, match=says):
        quantize_backbone(QuantizeRequest(**{"backbone": TINY, "pictures": files, **changes}), models, quiet)
    assert everything(models) == before


def test_files_that_are_no_pictures_are_left_out_or_named(models, report, files, tmp_path):
    many = [tmp_path / f"{number}.jpg" for number in range(70)]
    for path in many:
        path.write_bytes(b"no picture either")
    with pytest.raises(InvalidRequestError, match="only 0 of 35 pictures can be read"):
        quantize_backbone(QuantizeRequest(TINY, tuple(many)), models, quiet)


@pytest.mark.parametrize("at", ["pictures", "ranges", "layers", "measuring"])
def test_an_interruption_leaves_nothing(models, report, files, at):
    before = everything(models)

    def interrupted(stage: str, done: int, total: int) -> None:
        if stage == at and done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_backbone(QuantizeRequest(TINY, files, calibrated=32, name="late"), models, interrupted)
    assert everything(models) == before


def test_golden_outputs_are_checked_with_the_tolerance_of_the_bundle(report, tmp_path):
    import shutil

    from trunkline.core.bundle import write_golden

    folder = shutil.copytree(report.backbone, tmp_path / "1")
    bundle = read_bundle(folder)
    inputs, outputs = bundle.read_golden()
    scale = {name: max(1.0, float(np.abs(value).max())) for name, value in outputs.items()}
    for share, holds in ((0.8, True), (1.2, False)):
        off = share * bundle.manifest.golden_tolerance
        write_golden(folder, inputs, {name: value + off * scale[name] for name, value in outputs.items()})
        if holds:
            load_session(read_bundle(folder))
            continue
        with pytest.raises(ModelInvalidError, match="off its golden value"):
            load_session(read_bundle(folder))


def test_channels_of_one_range_change_no_answer(shipped):
    net, reference = shipped.copy(), tapped(shipped.model(), shipped.outputs)
    image = np.random.default_rng(2).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    streams = find_streams(net)
    assert any("c4" in group and len(group) > 3 for group in streams)  # a whole residual stage
    found = spreads(net, [name for group in streams for name in group], [image], lambda: None)
    before = found["c4"].channel_max
    equalize(net, streams, found)
    after = spreads(net, ["c4.scaled"], [image], lambda: None)["c4.scaled"].channel_max
    assert np.ptp(np.log(after[after > 0])) < np.ptp(np.log(before[before > 0]))
    want, got = reference.run({"image": image}), tapped(net.model(), net.outputs).run({"image": image})
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-3, atol=1e-3 * np.abs(value).max())


def test_pixels_are_8_bits_already(shipped):
    pixels = find_pixels(shipped)
    assert pixels.scale.zero == 128
    assert pixels.scale.step == pytest.approx(1 / 127.5)


def test_cuts_are_tensors_through_which_all_goes(shipped):
    image = np.random.default_rng(2).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    found = cuts(shipped)
    assert {"c2", "c3", "c4", "c5", "stage5"} <= set(found.values())
    whole = tapped(shipped.model(), ["c4", "pooled"]).run({"image": image})
    rest = tapped(shipped.model(), ["pooled"], "c4").run({"c4": whole["c4"]})
    np.testing.assert_array_equal(rest["pooled"], whole["pooled"])


def test_rounding_with_the_inputs_in_mind_beats_the_nearest():
    random = np.random.default_rng(0)
    mixed = random.normal(size=(2000, 24)) @ random.normal(size=(24, 24))
    inputs = mixed + 20 * random.normal(size=(2000, 1))
    weights = random.normal(size=(1, 8, 24))
    numbers, steps = round_rows(weights, (inputs.T @ inputs / len(inputs))[None])
    assert np.abs(numbers.astype(int)).max() <= HIGHEST
    step = np.abs(weights).max(axis=2) / HIGHEST
    nearest = np.rint(weights / step[..., None]) * step[..., None]
    off = [((each[0] - weights[0]) @ inputs.T).std() for each in (numbers * steps[..., None], nearest)]
    assert off[0] < 0.7 * off[1]


def test_a_range_keeps_to_what_comes_after_it():
    values = np.concatenate([np.linspace(-2, 30, 1000), [500]]).astype(np.float32)
    spread = Spread(np.array([500.0]), values)
    clipped = scale_of(spread, 0, 6)
    assert clipped.zero == 0
    assert 255 * clipped.step <= 6.0001
    assert clipped.rounded(np.array([-1.0, 3.0, 600.0])) == pytest.approx([0, 3, 6], abs=0.02)

"""`trunkline models import`: detectors that were exported elsewhere, imported, served, and refused with one line."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from PIL import Image, ImageDraw

from tests.service.bundles import linked_repository
from tests.yolo_file import NAMES, Spots, write_yolo
from trunkline.client.aio import AsyncClient
from trunkline.core.bundle import read_bundle
from trunkline.core.errors import InvalidRequestError, ModelInvalidError, TrunklineError
from trunkline.core.repository import Repository
from trunkline.testing import serve, serve_split
from trunkline.training.imported import ImportRequest, import_detector

pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")


@pytest.fixture
def repository(models, tmp_path):
    return linked_repository(models, tmp_path)


@pytest.fixture
def picture():
    """320x480: gray, with a white square whose cell is known. Padded to 224x160 it is scaled to a third."""
    made = Image.new("RGB", (320, 480), (127, 127, 127))
    ImageDraw.Draw(made).rectangle((96, 96, 191, 191), fill=(255, 255, 255))
    file = io.BytesIO()
    made.save(file, "PNG")
    return file.getvalue()


def _cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trunkline.cli.main", "models", "import", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.parametrize("layout", ["grid", "rows"])
async def test_an_imported_detector_is_served_in_the_frame_of_the_picture(repository, tmp_path, picture, layout):
    file = write_yolo(tmp_path / "best.onnx", Spots(layout), height=160, width=160)
    report = import_detector(ImportRequest(file, "spots"), repository)
    assert (report.classes, report.rows, report.width, report.height) == (2, 25, 160, 160)
    head = Repository(repository).head("spots")
    assert head.labels == tuple(NAMES.values())
    assert head.manifest.preprocess.resize == "pad"
    assert head.manifest.settings["nms_iou"] == (0.7 if layout == "grid" else 1.0)
    answers = []
    for form in (serve, serve_split):
        async with form(models=repository) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=60)
            answers.append((await client.detect(picture, "spots", score_threshold=0.5)).result)
    assert answers[0] == answers[1]
    (found,) = answers[0].objects
    # The picture is 107x160 of the input, from column 26 on: the cell of columns 64..96 and rows 32..64.
    scale = 320 / 107
    assert found.label.label == "bright"
    assert [found.box.x_min, found.box.x_max] == pytest.approx([38 * scale, 70 * scale], abs=1e-3)
    assert [found.box.y_min, found.box.y_max] == pytest.approx([96, 192], abs=1e-3)


def test_the_file_of_the_head_tells_nothing_of_where_it_was_made(repository, tmp_path):
    import_detector(ImportRequest(write_yolo(tmp_path / "best.onnx"), "spots"), repository)
    head = Repository(repository).head("spots")
    assert b"/home/me" not in head.read_model()
    card = (head.path / "CARD.md").read_text()
    assert "AGPL-3.0" in card
    assert "trunkline models import best.onnx --name spots" in card
    assert str(tmp_path) not in card


def test_a_model_of_any_size_takes_the_stated_or_the_wanted_one(repository, tmp_path):
    file = write_yolo(tmp_path / "any.onnx", dynamic=True)
    assert import_detector(ImportRequest(file, "stated"), repository).rows == 5 * 7
    assert import_detector(ImportRequest(file, "wanted", width=128, height=96), repository).rows == 3 * 4
    with pytest.raises(InvalidRequestError, match="multiple of 32"):
        import_detector(ImportRequest(file, "odd", width=100, height=64), repository)


def test_names_come_from_a_file_where_the_model_has_none(repository, tmp_path):
    file, names = write_yolo(tmp_path / "best.onnx", metadata={"names": ""}), tmp_path / "names.txt"
    with pytest.raises(InvalidRequestError, match="its 2 classes: give --labels"):
        import_detector(ImportRequest(file, "spots"), repository)
    names.write_text("day\nnight\n")
    import_detector(ImportRequest(file, "spots", labels=names), repository)
    assert Repository(repository).head("spots").labels == ("day", "night")
    names.write_text("day\nday\n")
    with pytest.raises(InvalidRequestError, match="two classes are called 'day'"):
        import_detector(ImportRequest(file, "spots", labels=names), repository)


def test_the_head_that_ships_is_made_again_from_its_file(datasets, repository, models, photos):
    file, shipped = datasets / "weights/yolox_nano.onnx", Repository(models).head("coco")
    request = ImportRequest(file, "coco", labels=Path("coco"), licence="Apache-2.0", samples=(photos[-1],))
    report = import_detector(request, repository)
    made = read_bundle(report.folder)
    assert (report.kind, report.classes, report.rows) == ("YOLOX", 80, 3549)
    assert made.manifest.digest == shipped.manifest.digest
    assert made.manifest.origin.weights_sha256 == shipped.manifest.origin.weights_sha256
    assert (made.labels, made.manifest.settings) == (shipped.labels, shipped.manifest.settings)
    assert (made.manifest.terms, made.manifest.preprocess) == ("any", shipped.manifest.preprocess)


def test_a_real_file_that_is_damaged_or_named_wrongly_is_refused(datasets, repository, tmp_path):
    data = (datasets / "weights/yolox_nano.onnx").read_bytes()
    half, spoilt = tmp_path / "half.onnx", tmp_path / "spoilt.onnx"
    half.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelInvalidError, match=r"half.onnx.*(not an ONNX file|cannot load|cannot run)"):
        import_detector(ImportRequest(half, "half", labels=Path("coco")), repository)
    model = onnx.load_from_string(data)
    kernel = next(each for each in model.graph.initializer if len(each.dims) == 4)
    kernel.CopyFrom(numpy_helper.from_array(np.full(kernel.dims, np.nan, np.float32), kernel.name))
    spoilt.write_bytes(model.SerializeToString())
    with pytest.raises(ModelInvalidError, match="not finite numbers"):
        import_detector(ImportRequest(spoilt, "spoilt", labels=Path("coco")), repository)
    names = tmp_path / "names.txt"
    names.write_text("person\ncar\n")
    with pytest.raises(ModelInvalidError, match=r"shape \[1, 3549, 85\] for 2 classes.*are the class names right"):
        import_detector(ImportRequest(datasets / "weights/yolox_nano.onnx", "few", labels=names), repository)
    with pytest.raises(InvalidRequestError, match=r"give --labels FILE, or --labels coco"):
        import_detector(ImportRequest(datasets / "weights/yolox_nano.onnx", "none"), repository)


def _external(file: Path) -> None:
    model = onnx.load(file)
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    file.write_bytes(model.SerializeToString())


def _two_outputs(file: Path) -> None:
    model = onnx.load(file)
    model.graph.output.add().CopyFrom(model.graph.input[0])
    model.graph.output[1].name = model.graph.node[0].output[0]
    file.write_bytes(model.SerializeToString())


def _half(file: Path) -> None:
    model = onnx.load(file)
    first = model.graph.initializer[0]
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first).astype(np.float16), first.name))
    file.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("made", "spoil", "word"),
    [
        ({}, lambda file: file.write_bytes(b""), "is empty"),
        ({}, lambda file: file.write_bytes(b"no model at all"), "not an ONNX file"),
        ({}, lambda file: file.write_bytes(file.read_bytes()[:200]), "not an ONNX file"),
        ({}, lambda file: file.unlink(), "cannot be read"),
        ({}, _external, "second file"),
        ({}, _two_outputs, "2 outputs"),
        ({}, _half, "without half=True"),
        ({"batch": 4}, None, "batch=1"),
        ({"height": 144}, None, "multiple of 32"),
        ({"metadata": {"task": "segment"}}, None, "segmentation model"),
        ({"metadata": {"task": "classify"}}, None, "classifier"),
        ({"metadata": {"names": "__import__('os').abort()"}}, None, "class names .* cannot be read"),
        ({"metadata": {"names": "[" * 5000}}, None, "class names .* cannot be read"),
        ({"metadata": {"names": "{0: 'a', 2: 'b'}"}}, None, "class names .* cannot be read"),
        ({"metadata": {"names": "{0: 'a', 1: 'b', 2: 'c'}"}}, None, "shape .* for 3 classes"),
        ({"metadata": {"names": "{0: 'a', 1: ''}"}}, None, "no name"),
        ({"dynamic": True, "metadata": {"imgsz": ""}}, None, "give --width and --height"),
    ],
)
def test_a_bad_file_is_refused_and_leaves_nothing(repository, tmp_path, made, spoil, word):
    file = write_yolo(tmp_path / "bad.onnx", **made)
    if spoil:
        spoil(file)
    with pytest.raises(TrunklineError, match=word):
        import_detector(ImportRequest(file, "bad"), repository)
    assert sorted(path.name for path in repository.rglob("*") if path.parent.name in ("models", "heads")) == [
        "backbones",
        "heads",
        "imagenet",
    ]


def test_scores_that_are_no_probabilities_are_refused(repository, tmp_path):
    net = Spots()
    net.gray.bias.data.fill_(float("nan"))
    with pytest.raises(ModelInvalidError, match="not finite numbers"):
        import_detector(ImportRequest(write_yolo(tmp_path / "nan.onnx", net), "nan"), repository)


def test_the_command_imports_and_refuses_in_one_line(repository, tmp_path):
    file = write_yolo(tmp_path / "best.onnx")
    done = _cli(file, "--name", "spots", "--models", repository, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["rows"] == 35
    refused = _cli(file, "--name", "No Name", "--models", repository)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("trunkline: --name 'No Name'")
    assert len(refused.stderr.splitlines()) == 1


def test_a_file_that_ultralytics_itself_exports_is_imported(repository, tmp_path):
    pytest.importorskip("ultralytics", reason="needs the ultralytics extra", exc_type=ImportError)
    code = "from ultralytics import YOLO; YOLO('yolov8n.yaml').export(format='onnx', imgsz=[64, 96], simplify=False)"
    switches = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **switches}, check=True, timeout=240
    )
    report = import_detector(ImportRequest(tmp_path / "yolov8n.onnx", "yolo"), repository)
    assert (report.classes, report.rows) == (80, 8 * 12 + 4 * 6 + 2 * 3)

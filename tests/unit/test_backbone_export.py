"""Torch networks become bundles that are what they claim, or nothing is left behind."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")
timm = pytest.importorskip("timm", reason="needs the train extra: pip install -e '.[train]'")

from trunkline.core.bundle import read_bundle  # noqa: E402
from trunkline.core.errors import InvalidRequestError, NotFoundError, ServiceUnavailableError  # noqa: E402
from trunkline.core.images import EncodedImage  # noqa: E402
from trunkline.core.preprocess import preprocess  # noqa: E402
from trunkline.core.repository import Repository  # noqa: E402
from trunkline.serving.session import OnnxSession, load_session  # noqa: E402
from trunkline.training.export import ExportRequest, export_backbone  # noqa: E402
from trunkline.training.export.export import load_network  # noqa: E402

TINY = "timm/test_resnet"


def export(folder, **fields):
    return export_backbone(ExportRequest(**fields), folder, lambda _: None)


def everything(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny ResNet with random weights, exported once."""
    folder = tmp_path_factory.mktemp("models")
    return export(folder, architecture=TINY, weights="none")


@pytest.fixture(scope="module")
def session(tiny) -> OnnxSession:
    return load_session(read_bundle(tiny.backbone))


def pictures(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_a_bundle_holds_all_that_it_must(tiny):
    assert everything(tiny.backbone) == ["CARD.md", "golden.npz", "manifest.json", "model.onnx"]
    assert tiny.backbone.parts[-3:] == ("backbones", "timm-test_resnet", "1")
    assert max(parity.relative for parity in tiny.parity) < 1e-4


@pytest.mark.parametrize(("count", "height", "width"), [(1, 64, 64), (3, 96, 160)])
def test_every_feature_has_the_channels_and_the_stride_of_the_manifest(tiny, session, count, height, width):
    found = session.run({"image": pictures(count, height, width)})
    assert tiny.features
    for feature in tiny.features:
        cells = (height // feature.stride, width // feature.stride) if feature.stride else ()
        assert found[feature.name].shape == (count, feature.channels, *cells)


def test_a_local_weight_file_is_what_is_exported(tmp_path):
    torch.manual_seed(1)
    net = timm.create_model("test_resnet").eval()
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    report = export(tmp_path / "models", architecture=TINY, weights=tmp_path / "weights.pth", name="mine")
    image = pictures(1, 64, 64)
    mean, std = (np.array(net.pretrained_cfg[key], np.float32) for key in ("mean", "std"))
    scaled = torch.from_numpy(((image / np.float32(255) - mean) / std).transpose(0, 3, 1, 2))
    with torch.inference_mode():
        pooled = net.forward_head(net.forward_features(scaled), pre_logits=True).numpy()
    found = load_session(read_bundle(report.backbone)).run({"image": image}, ["pooled"])["pooled"]
    np.testing.assert_allclose(found, pooled, rtol=1e-3, atol=1e-4)
    manifest = read_bundle(report.backbone).manifest
    assert manifest.name == "mine"
    assert manifest.origin.source == "local file weights.pth"
    assert str(tmp_path).encode() not in (report.backbone / "model.onnx").read_bytes()


def test_weights_that_do_not_fit_are_named_and_nothing_is_left(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InvalidRequestError, match=r"does not fit.*missing.*unexpected conv\.weight"):
        export(tmp_path / "models", architecture=TINY, weights=tmp_path / "other.pth")
    assert everything(tmp_path) == ["other.pth"]


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save(Evil(), tmp_path / "evil.pth")
    with pytest.raises(InvalidRequestError, match="safely"):
        export(tmp_path / "models", architecture=TINY, weights=tmp_path / "evil.pth")


@pytest.mark.parametrize("architecture", ["timm/resnet18", "torchvision/resnet18"])
def test_a_download_that_cannot_work_says_what_to_do(tmp_path, monkeypatch, architecture):
    import socket

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route")

    # Where there is a network the download would work; it must not be needed by a test, nor tried for a minute.
    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr("trunkline.training.export.weights.getproxies", dict)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    with pytest.raises(ServiceUnavailableError, match=r"cannot be downloaded.*--weights FILE.*--weights none"):
        export(tmp_path / "models", architecture=architecture)
    assert not everything(tmp_path)


@pytest.mark.parametrize(
    ("architecture", "hint"), [("timm/resnet5O", "timm/resnet50"), ("torchvision/vgg16bn", "vgg16_bn"), ("x", "NAME")]
)
def test_an_unknown_architecture_suggests_near_ones(tmp_path, architecture, hint):
    with pytest.raises(NotFoundError, match=hint):
        export(tmp_path, architecture=architecture, weights="none")


def test_an_existing_version_is_never_overwritten(tiny):
    models = tiny.backbone.parents[2]
    before = everything(models)
    with pytest.raises(InvalidRequestError, match="1"):
        export(models, architecture=TINY, weights="none", version=1)
    assert everything(models) == before


def test_a_classifier_of_random_weights_is_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="random answers"):
        export(tmp_path, architecture=TINY, weights="none", classifier="guess")


def test_the_shipped_backbone_and_head_give_the_logits_of_torch(models, photos):
    repository = Repository(models)
    backbone, head = repository.backbone("efficientnet-lite0"), repository.head("imagenet")
    net = load_network("efficientnet-lite0", "default").net
    sessions = load_session(backbone), load_session(head)
    for photo in photos:
        image, _ = preprocess(EncodedImage(photo.read_bytes()), head.manifest.preprocess)  # (1, 224, 224, 3)
        pooled = sessions[0].run({"image": image}, ["pooled"])
        logits = sessions[1].run(pooled)["logits"]
        scaled = (torch.from_numpy(image.copy()).permute(0, 3, 1, 2).float() - 127.5) / 127.5
        with torch.inference_mode():
            want = net(scaled).numpy()
        assert np.abs(logits - want).max() < 1e-3

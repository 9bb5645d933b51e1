"""SegNet that begins with the weights of VGG16: it computes what VGG16 computes."""

import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import torch
from safetensors.torch import save_file
from torchvision.models import vgg16_bn

from trunkline.core.errors import InvalidRequestError
from trunkline.heads.segmentation.learn.segnet import SegNet
from trunkline.training.export.weights import read_state


@pytest.fixture(scope="module")
def vgg():
    """Random weights with batch norms that have seen something, without the classifier's 500 MB."""
    torch.manual_seed(0)
    features = vgg16_bn(init_weights=False).features.eval()
    for layer in features:
        if isinstance(layer, torch.nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var):
                torch.nn.init.uniform_(values, 0.5, 1.5)
            for values in (layer.bias, layer.running_mean):
                torch.nn.init.normal_(values, 0, 0.1)
    return features


def state_of(vgg) -> dict:
    return {f"features.{key}": value for key, value in vgg.state_dict().items()}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_encoder_computes_what_vgg16_does(tmp_path, vgg, suffix):
    path = tmp_path / f"vgg16_bn{suffix}"
    save_file(state_of(vgg), path) if suffix == ".safetensors" else torch.save(state_of(vgg), path)
    net = SegNet(3, 4, "large").eval()
    net.begin_with(read_state(path), path.name)
    image = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    pixels = image.permute(0, 3, 1, 2).to(torch.float32)
    mean, deviation = (torch.tensor(v)[None, :, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        wanted = vgg[:6]((pixels / 255 - mean) / deviation)
        found = net.encoder[0](pixels / 127.5 - 1)
        # Two convolutions see another padding in two pixels at the border.
        torch.testing.assert_close(found[:, :, 2:-2, 2:-2], wanted[:, :, 2:-2, 2:-2], rtol=1e-3, atol=1e-4)
        for stage, (start, end) in zip(net.encoder[1:], ((7, 13), (14, 23), (24, 33), (34, 43)), strict=True):
            wanted = torch.nn.functional.max_pool2d(wanted, 2)
            torch.testing.assert_close(stage(wanted), vgg[start:end](wanted), rtol=1e-3, atol=1e-4)
            wanted = vgg[start:end](wanted)
        assert net(image).shape == (1, 4, 64, 64)


def test_what_does_not_fit_is_named(vgg):
    state = state_of(vgg)
    del state["features.3.bias"]
    state["features.7.weight"] = torch.zeros(128, 32, 3, 3)
    with pytest.raises(InvalidRequestError) as caught:
        SegNet(3, 4, "large").begin_with(state, "vgg.pth")
    message = caught.value.message
    assert "vgg.pth is not a VGG16 with batch norm" in message
    assert "missing features.3.bias" in message
    assert "of another shape features.7.weight" in message


def test_weights_fit_the_large_net_and_colours_alone(vgg):
    with pytest.raises(InvalidRequestError, match="size large"):
        SegNet(3, 4, "light").begin_with(state_of(vgg), "vgg.pth")
    with pytest.raises(InvalidRequestError, match=r"another shape features\.0\.weight"):
        SegNet(1, 4, "large").begin_with(state_of(vgg), "vgg.pth")

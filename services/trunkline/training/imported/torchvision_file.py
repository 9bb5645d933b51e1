"""Weights of a torchvision detector, from the file that torch saved to an ONNX graph of one size."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torchvision.models import detection

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import Pixels
from trunkline.serving.session import OnnxSession
from trunkline.training.export.network import first_line
from trunkline.training.export.weights import State, file_sha256, read_state
from trunkline.training.imported.compare import RUN_S
from trunkline.training.imported.detector_file import DetectorFile, check_side
from trunkline.training.imported.layouts.layout import Resize, Scaling
from trunkline.training.imported.request import ImportRequest

_OPSET = 17  # the newer exporter fails on shapes that depend on the data; the older one ends at this version
_LEAST_SCORE = 0.01  # torchvision's is 0.05: average precision looks at the unlikely ones too
_CLASS_LOGITS = "roi_heads.box_predictor.cls_score.weight"
_DENSE_LOGITS = "head.classification_head.cls_logits.weight"
_LITE_LOGITS = "head.classification_head.module_list.0.1.weight"
_OUTPUTS = ("boxes", "labels", "scores")
_INPUT = "picture"
_MOST_CLASSES = 10_000
_SHARE, _NEAR_PX, _NEAR_SCORE = 0.95, 1.0, 1e-3  # where two scores are nearly equal, other boxes are suppressed
_RETINA_ANCHORS, _LITE_ANCHORS = 9, 6  # boxes for each place


@dataclass(frozen=True)
class _Net:
    """How torchvision makes it, where its logits are, how many a class has there, and the usual size of its input.

    published: how the SHA-256 of torchvision's own file begins, where its norms add nothing to their variances.
    """

    build: Callable[..., nn.Module]
    logits: str
    for_each: int = 1
    side: int = 800
    resize: Resize = "pad"
    published: str = ""


# Of the two on MobileNetV3, whose weights have the same shapes, the one that looks at more regions.
NETS: Mapping[str, _Net] = {
    "fasterrcnn_resnet50_fpn": _Net(detection.fasterrcnn_resnet50_fpn, _CLASS_LOGITS, published="258fb6c6"),
    "fasterrcnn_resnet50_fpn_v2": _Net(detection.fasterrcnn_resnet50_fpn_v2, _CLASS_LOGITS),
    "fasterrcnn_mobilenet_v3_large_fpn": _Net(detection.fasterrcnn_mobilenet_v3_large_fpn, _CLASS_LOGITS),
    "retinanet_resnet50_fpn": _Net(
        detection.retinanet_resnet50_fpn, _DENSE_LOGITS, _RETINA_ANCHORS, published="eeacb38b"
    ),
    "retinanet_resnet50_fpn_v2": _Net(detection.retinanet_resnet50_fpn_v2, _DENSE_LOGITS, _RETINA_ANCHORS),
    "fcos_resnet50_fpn": _Net(detection.fcos_resnet50_fpn, _DENSE_LOGITS),
    "ssdlite320_mobilenet_v3_large": _Net(
        detection.ssdlite320_mobilenet_v3_large, _LITE_LOGITS, _LITE_ANCHORS, 320, "squash"
    ),
}


class _Alone(nn.Module):
    """A detector about one picture, float32 (3, H, W), 0 to 1: boxes (n, 4), labels (n,), scores (n,)."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        net.transform.resize = _as_it_is
        (net.roi_heads if hasattr(net, "roi_heads") else net).score_thresh = _LEAST_SCORE
        self.net = net
        self.eval()

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.net([picture])[0]
        return found["boxes"], found["labels"], found["scores"]


def _as_it_is(image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
    """In place of torchvision's resize: pictures are of the size already."""
    return image, target


def exported(request: ImportRequest, pictures: Callable[[int, int], Pixels]) -> DetectorFile:
    """The graph of the weights in the file, for one size. Nothing in the file is executed.

    pictures: of a height and width, uint8 (n, H, W, 3); on the first torch is compared with ONNX Runtime. Raises
    InvalidRequestError where the file holds no weights or those of no known net, or for a size that cannot be served,
    ModelInvalidError where ONNX Runtime finds other boxes than torch.
    """
    name, net, classes = built(read_state(request.file), request.file)
    known = NETS[name]
    height = check_side("height", request.height or known.side)
    width = check_side("width", request.width or known.side)
    alone = _Alone(net)
    model = _graph(alone, height, width, request.file)
    _check(alone, model, Scaling().planes(pictures(height, width)[:1]), request.file)
    return DetectorFile(
        model=model,
        channels=3,
        height=height,
        width=width,
        batched=False,
        description=f"torchvision {name}",
        class_count=classes,
        resize=known.resize,
    )


def _check(alone: _Alone, model: Any, planes: np.ndarray, file: Path) -> None:
    """Raises ModelInvalidError where less than 95 % of torch's boxes about float32 (n, 3, H, W) are found by both."""
    session = OnnxSession(model.SerializeToString(), str(file))
    shared, all_of_them = 0, 0
    for picture in planes:
        found = session.try_run({_INPUT: picture}, within_s=RUN_S)
        with torch.inference_mode():
            want = {name: each.numpy() for name, each in zip(_OUTPUTS, alone(torch.from_numpy(picture)), strict=True)}
        shared, all_of_them = shared + _found_by_both(want, found), all_of_them + len(want["boxes"])
    if shared < _SHARE * all_of_them:
        raise ModelInvalidError(
            f"{file}: of {all_of_them} boxes that torch finds, ONNX Runtime finds {shared}: nothing was written; "
            "in a net that was never trained nearly all scores are equal"
        )


def _found_by_both(want: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> int:
    """Boxes of `want` that `found` has too: of the same class, to a pixel, with nearly the same score."""
    near = np.abs(want["boxes"][:, None] - found["boxes"][None]).max(axis=2, initial=0) < _NEAR_PX  # (n, m)
    alike = np.abs(want["scores"][:, None] - found["scores"][None]) < _NEAR_SCORE
    return int((near & alike & (want["labels"][:, None] == found["labels"][None])).any(axis=1).sum())


def built(state: State, file: Path) -> tuple[str, nn.Module, int]:
    """The net that these weights fit, by name, with them in it, and its number of classes.

    Raises InvalidRequestError where they fit none that is known.
    """
    for name, known in NETS.items():
        logits = state.get(known.logits)
        if logits is None or not logits.ndim or not len(logits) or len(logits) % known.for_each:
            continue
        classes = len(logits) // known.for_each
        if classes > _MOST_CLASSES:
            continue
        # Without numbers of its own, so that a net that does not fit costs next to nothing.
        with torch.device("meta"):
            net = known.build(weights=None, weights_backbone=None, num_classes=classes)
        try:
            net.load_state_dict(dict(state), strict=True, assign=True)
        except RuntimeError:
            continue
        return name, _whole(known, classes, state, file), classes
    raise InvalidRequestError(
        f"{file} fits no detector that is known: {', '.join(NETS)} of torchvision; other nets come as ONNX files"
    )


def _whole(known: _Net, classes: int, state: State, file: Path) -> nn.Module:
    """The net with all that it makes beside its weights, such as anchors."""
    net = known.build(weights=None, weights_backbone=None, num_classes=classes)
    net.load_state_dict(dict(state), strict=True)
    if known.published and file_sha256(file).startswith(known.published):
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return net


def _graph(alone: _Alone, height: int, width: int, file: Path) -> Any:
    data = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about shapes, which are constants here, and that this exporter is old
        try:
            torch.onnx.export(
                alone,
                (torch.rand(3, height, width),),
                data,  # type: ignore[arg-type]  # this exporter writes into files that are open
                dynamo=False,
                opset_version=_OPSET,
                input_names=[_INPUT],
                output_names=list(_OUTPUTS),
                dynamic_axes={name: {0: "rows"} for name in _OUTPUTS},
            )
        except Exception as error:  # the exporter wraps whatever a network raises
            raise ModelInvalidError(f"torch cannot export {file}: {first_line(error)}") from error
    return onnx.load_from_string(data.getvalue())

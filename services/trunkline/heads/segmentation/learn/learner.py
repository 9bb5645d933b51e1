"""Net, loss, metric and scores of segmentation."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassJaccardIndex
from torchvision.tv_tensors import Mask

from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import Result
from trunkline.core.train_choices import Augmentation
from trunkline.heads.learner import MapLearner
from trunkline.heads.segmentation.label_map import IGNORED, in_frame
from trunkline.heads.segmentation.learn.decoders import decoder_net
from trunkline.heads.segmentation.learn.losses import SegmentationLoss, median_frequencies
from trunkline.heads.segmentation.learn.segnet import SegNet
from trunkline.heads.segmentation.measure import scores_of
from trunkline.heads.segmentation.palette import default_palette
from trunkline.heads.segmentation.scores import SegmentationScores


class Learner(MapLearner):
    """A decoder on the maps of the backbone, or SegNet on the pixels."""

    output: ClassVar[str] = "logits"
    metric: ClassVar[str] = "mean_iou"
    augmentation: ClassVar[Augmentation] = "scene"
    dropout: ClassVar[float] = 0.1
    maps = ("c2", "c3", "c4", "c5")
    spec = PreprocessSpec(resize="squash", width=480, height=352)

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        if len(classes) < 2 or targets:
            raise InvalidRequestError(
                "the data has no masks: segmentation needs a mask for each picture, or outlines of objects"
            )
        self._classes, self._request = tuple(classes), options
        self._loss = self._loss_with(None)

    def prepare(self, samples: Sequence[Any]) -> None:
        missing = next((sample.name for sample in samples if sample.mask is None), None)
        if missing is not None:
            raise InvalidRequestError(
                f"{missing} has no mask: segmentation needs one for each picture, or outlines of objects"
            )
        if self._request.options.balance:
            masks = [sample.mask.load() for sample in samples]
            self._loss = self._loss_with(torch.from_numpy(median_frequencies(masks, len(self._classes))))

    def _loss_with(self, weights: Tensor | None) -> SegmentationLoss:
        return SegmentationLoss(
            self._request.loss or "combined", weights, self._request.options.label_smoothing or 0.0
        )

    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        """int64 (N,): the truth of a view is made with the view, see `annotation`."""
        return np.arange(len(samples))

    def annotation(self, sample: Any, frame: Frame) -> Mask:
        """uint8 (1, H, W) in the frame of the model: labels, and IGNORED where there is no picture."""
        labels = sample.mask.load((frame.image_width, frame.image_height))
        return Mask(torch.from_numpy(in_frame(labels, frame))[None])

    def collate(self, annotations: Sequence[Mask]) -> Tensor:
        """int64 (N, H, W)"""
        return torch.stack([annotation[0] for annotation in annotations]).to(torch.int64)

    def answer_layer(self, width: int) -> nn.Module:
        raise InvalidRequestError("segmentation learns from maps: use features, transfer, finetune or scratch")

    def map_net(self, channels: Mapping[str, int], dropout: float) -> nn.Module:
        request = self._request
        return decoder_net(request.decoder, request.size, channels, len(self._classes), dropout)

    def pixel_net(self, channels: int) -> nn.Module:
        return SegNet(channels, len(self._classes), self._request.size)

    def loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """answers: logits (N, K, h, w); truth: int64 (N, H, W), of the same shape or finer.

        Coarse answers are compared at half of the resolution, which is a quarter of the time.
        """
        if answers.shape[2] < truth.shape[1]:
            truth = truth[:, ::2, ::2]
        return torch.as_tensor(self._loss(_grown(answers, truth), truth))

    def measure(self) -> MulticlassJaccardIndex:
        return _MeanIoU(num_classes=len(self._classes), ignore_index=IGNORED)

    def settings(self) -> dict[str, Any]:
        palette = [list(colour) for colour in default_palette(len(self._classes))]
        request = self._request
        net = "segnet" if request.mode == "scratch" else request.decoder
        return {"palette": palette, "net": net, "size": request.size}

    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> SegmentationScores:
        return scores_of(answers, samples, self._classes)


class _MeanIoU(MulticlassJaccardIndex):
    """Over the classes, of the upscaled answers."""

    def update(self, answers: Tensor, truth: Tensor) -> None:
        super().update(_grown(answers, truth).argmax(dim=1), truth)


def _grown(logits: Tensor, truth: Tensor) -> Tensor:
    """(N, K, h, w) -> (N, K, H, W)"""
    if logits.shape[2:] == truth.shape[1:]:
        return logits
    return nn.functional.interpolate(logits, size=truth.shape[1:], mode="bilinear", align_corners=False)

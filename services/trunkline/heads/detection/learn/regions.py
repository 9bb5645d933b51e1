"""What is in a region: class and exact box, from the levels of a pyramid.

Source: Cai and Vasconcelos, Cascade R-CNN, 2018; the parts are torchvision's. Boxes are learned for all classes
together, so that a region has one box whatever its class is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trunkline.heads.detection.learn.proposals import Targets
from trunkline.heads.detection.learn.sizes import RcnnSize
from trunkline.heads.detection.learn.stages import GRADES, Levels, Sampled, Stage


class Regions(nn.Module):
    """Regions of pictures of one size to classes and boxes.

    Each stage makes better boxes of those of the stage before, and learns from what overlaps objects more.
    """

    def __init__(self, classes: int, size: RcnnSize, input_size: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(classes, size, input_size, dropout, grade) for grade in GRADES)

    def describe(self, levels: Levels, regions: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """For each picture, (M, 4) regions -> boxes (M, 4), clipped to the input, and probabilities (M, K).

        Probabilities are the mean of those of all stages: Cascade R-CNN, section 4.2.
        """
        counts = [each.shape[0] for each in regions]
        scores = []
        for stage in self.stages:
            logits, deltas = stage.predict(levels, regions)  # type: ignore[operator]
            boxes = stage.moved(deltas, regions)  # type: ignore[operator]
            scores.append(logits.softmax(dim=1)[:, 1:])
            # With one picture, a split would fix the number of regions in an exported graph.
            regions = [boxes] if len(counts) == 1 else list(torch.split(boxes, counts))
        score = torch.stack(scores).mean(dim=0)
        return regions, [score] if len(counts) == 1 else list(torch.split(score, counts))

    def losses(
        self, levels: Levels, regions: list[Tensor], targets: Targets, weights: Tensor | None, smoothing: float
    ) -> tuple[dict[str, Tensor], Sampled]:
        """The losses, and what the last stage learned from: it is the most like what is served.

        weights: float32 (K + 1,) of the classes, background first. smoothing: of the classes.
        """
        losses: dict[str, Tensor] = {}
        for number, stage in enumerate(self.stages, 1):
            found, sampled, regions = stage.losses(levels, regions, targets, weights, smoothing)  # type: ignore[operator]
            losses |= {f"{name}_{number}": loss for name, loss in found.items()}
        return losses, sampled


def class_weights(counts: Sequence[int]) -> Tensor:
    """float32 (K + 1,): inverse to the square root of the number of objects, 1 on average and for background.

    The root, as regions are sampled: rare classes are already seen more often than in the data.
    """
    inverse = torch.tensor([max(1, count) for count in counts], dtype=torch.float32).rsqrt()
    return torch.cat([torch.ones(1), inverse / inverse.mean()])

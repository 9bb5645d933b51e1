"""A classifier with its backbone as one torch net, from the files that are served: for gradients of its pixels."""

from torch import Tensor, nn

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.training.nets.tail import Tail

_LOGITS = "logits"


class ServedNet(nn.Module):
    """float32 (N, H, W, C), 0 to 255 -> logits (N, K)."""

    def __init__(self, head: Bundle[HeadManifest], backbone: Bundle[BackboneManifest]) -> None:
        """Raises InvalidRequestError for a head that is no classifier on one feature, and for unknown operations."""
        super().__init__()
        manifest = head.manifest
        if manifest.task != "classification" or len(manifest.features) != 1:
            raise InvalidRequestError(
                f"head {manifest.name!r} cannot be attacked here: it is no classifier on one feature"
            )
        (feature,) = manifest.features
        self.body = None if feature == IMAGE else Tail(backbone.read_model(), IMAGE, [feature])
        self.head = Tail(head.read_model(), feature, [_LOGITS])
        self.requires_grad_(False)
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        feature = pixels if self.body is None else self.body(pixels)[0]
        logits: Tensor = self.head(feature)[0]
        return logits

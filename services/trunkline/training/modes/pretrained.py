"""Mode `pretrained`: an existing classifier as it is, for the classes of the data. Nothing is learned."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import BackboneMismatchError, InvalidRequestError
from trunkline.core.repository import Repository
from trunkline.training.modes.job import Fitted, Job
from trunkline.training.nets.tail import Tail

_OUTPUT = "logits"
_OWN = ("known", "parents", "thresholds")  # settings, with a value for each class or of all


def use_pretrained(job: Job, models: Path, classes: Sequence[str]) -> Fitted:
    """Raises InvalidRequestError for a class that the classifier does not know, or a task that has no classes.

    NotFoundError for the classifier, BackboneMismatchError where it belongs to another backbone.
    """
    if not classes:
        raise InvalidRequestError("mode pretrained answers with the classes of a classifier: the data has none")
    source = Repository(models).head(job.request.source)
    wanted, served = source.manifest.backbone, job.backbone.manifest
    if wanted.digest != served.digest:
        raise BackboneMismatchError.between(source.manifest.name, wanted.name, wanted.digest, served.digest)
    if source.manifest.task != "classification" or len(source.manifest.features) != 1:
        raise InvalidRequestError(f"head {source.manifest.name!r} is not a classifier on one feature of the backbone")
    net = _Selected(source, _places(source, classes))
    note = f"The classifier `{source.manifest.name}` as it is, its logits for the classes of the data alone."
    # What it knows of its own classes does not hold for some of them.
    settings = {name: value for name, value in source.manifest.settings.items() if name not in _OWN}
    return Fitted(net, source.manifest.features, source.manifest.preprocess, [], settings, note)


def _places(source: Bundle[HeadManifest], classes: Sequence[str]) -> list[int]:
    known = {_plain(label): index for index, label in enumerate(source.labels)}
    missing = [place for place, name in enumerate(classes, 1) if _plain(name) not in known]
    if missing:
        raise InvalidRequestError(
            f"head {source.manifest.name!r} does not know class {missing[0]} of the {len(classes)} of the data"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + ": learn a head of your own with --mode features"
        )
    return [known[_plain(name)] for name in classes]


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").strip()


class _Selected(nn.Module):
    """Some of the logits of a head."""

    places: Tensor

    def __init__(self, source: Bundle[HeadManifest], places: Sequence[int]) -> None:
        super().__init__()
        self.head = Tail(source.read_model(), source.manifest.features[0], (_OUTPUT,))
        self.register_buffer("places", torch.tensor(places))

    def forward(self, *features: Tensor) -> Tensor:
        logits: Tensor = self.head(features[0])[0]  # (N, all classes)
        return logits.index_select(1, self.places)

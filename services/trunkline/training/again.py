"""A head made again on another backbone: its request from its card, and whether the data is still the same."""

from pathlib import Path

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError
from trunkline.core.evaluation import Evaluation
from trunkline.core.train_command import request_on_card
from trunkline.core.train_request import TrainRequest


def recorded_request(head: Bundle[HeadManifest]) -> TrainRequest:
    """The request on the card of a head. Raises InvalidRequestError where it was not made by training."""
    named = f"{head.manifest.name}/{head.manifest.version}"
    try:
        found = request_on_card(head.card)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{named} cannot be made again from its card: {error.message}") from error
    if found is None:
        raise InvalidRequestError(
            f"{named} was not made by trunkline train, so its card has no request: a classifier that came with its "
            "backbone comes with the new one too, by trunkline backbone export"
        )
    return found


def request_again(
    head: Bundle[HeadManifest], old: BackboneManifest | None, new: BackboneManifest, data: Path
) -> TrainRequest:
    """The same request for another backbone, with the data of this folder.

    old: the backbone that the head is on, where it is there. Where the head sees pictures as that backbone was made
    for, it will see them as the new one was. Raises InvalidRequestError as recorded_request does.
    """
    request = recorded_request(head)
    changed = {"backbone": new.name, "data": str(data), "licence": head.manifest.origin.licence}
    if old is not None and request.spec == old.preprocess:
        return request.model_copy(update={**changed, "spec": new.preprocess})
    return request.model_copy(update=changed)


def require_same(like: HeadManifest, learned_from: Evaluation, evaluation: Evaluation) -> None:
    """Raises InvalidRequestError where the data is not what the head was made from, as far as its manifest knows."""
    for what, recorded, found in (
        ("learned from", like.learned_from, learned_from),
        ("measured on", like.evaluation, evaluation),
    ):
        if recorded is not None and recorded.digest != found.digest:
            raise InvalidRequestError(
                f"{like.name}/{like.version} was {what} other data: {recorded.count} pictures of {recorded.data} "
                f"({recorded.split}), here are {found.count} of {found.data} ({found.split}), and names, bytes or "
                "labels differ; find the old data, or go on with --changed-data, and both cannot be compared",
                recorded=recorded.digest,
                found=found.digest,
            )

"""The preprocessing spec and the backbone of another head, for one that is to share a pass with it."""

from trunkline.core.catalog import current_catalog
from trunkline.core.errors import InvalidRequestError
from trunkline.core.repository import Repository
from trunkline.core.train_request import TrainRequest


def as_like(request: TrainRequest, repository: Repository) -> TrainRequest:
    """The request with spec and backbone of the default version of the head that it names, if it names one.

    So the card says what was learned, whatever becomes of that head. Raises NotFoundError for the head or its
    backbone, InvalidRequestError where a newer version of that would be learned on, and so no pass be shared.
    """
    if request.like is None:
        return request
    head = repository.head(request.like, current_catalog(repository.root, request.like).default).manifest
    newest = repository.backbone(head.backbone.name).manifest
    if newest.digest != head.backbone.digest:
        raise InvalidRequestError(
            f"like: head {request.like!r} is on backbone {head.backbone.label}, but heads are learned on the newest, "
            f"{newest.label}: make {request.like!r} again on that first, with: "
            f"trunkline train --again {request.like} --backbone {newest.name}"
        )
    return request.model_copy(update={"like": None, "spec": head.preprocess, "backbone": newest.name})

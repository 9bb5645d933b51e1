"""What a call may have read: what is below the roots, or anything where callers come from this machine alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from trunkline.core.roots import ANYWHERE, DataRoots
from trunkline.core.train_request import TrainRequest
from trunkline.serving.addresses import OVER_NETWORK
from trunkline.serving.settings import Settings


def workers_roots(settings: Settings) -> tuple[str, ...]:
    """The folders below which workers may read: without roots, what a caller of this machine was allowed."""
    return tuple(str(Path(root).absolute()) for root in settings.training_data_roots) or ANYWHERE


class DataAccess:
    """roots: the setting. local: whether the service can be reached from this machine alone."""

    def __init__(self, roots: Sequence[str], *, local: bool) -> None:
        self._roots = tuple(roots)
        self._local = local

    @classmethod
    def of(cls, settings: Settings) -> "DataAccess":
        """That of a service with these settings."""
        return cls(settings.training_data_roots, local=settings.reached_from_here_alone)

    def roots(self, metadata: Mapping[str, Any] | None = None) -> DataRoots:
        """Those that hold for a call with this metadata."""
        local = self._local and OVER_NETWORK not in (metadata or {})
        return DataRoots(self._roots or (ANYWHERE if local else ()))

    def require(self, request: TrainRequest, metadata: Mapping[str, Any] | None = None) -> None:
        """Raises DataForbiddenError where a job reads what its caller may not have read."""
        roots = self.roots(metadata)
        for path in (request.data, request.weights, request.unlabelled):
            if path is not None:
                roots.require(path)


def metadata_of(context: "grpc.aio.ServicerContext[Any, Any]") -> dict[str, Any]:
    """The metadata of a call, by name."""
    return dict(context.invocation_metadata() or ())

"""What both clients of the training service share: requests, answers, errors, and how long a watch is patient."""

import secrets
import time

import grpc

from trunkline.api.training.v1 import training_service_pb2 as pb
from trunkline.client.answers import Evaluation
from trunkline.client.errors import ServiceError, from_rpc_error
from trunkline.core.train_request import TrainRequest
from trunkline.serving.wire_training import request_to_pb

PAUSE_S = 0.5
_STOOD_S = 5.0


class Patience:
    """Decides whether a watch that broke off is tried again: for `limit_s` seconds without a sign of the service."""

    def __init__(self, target: str, limit_s: float) -> None:
        self._target = target
        self._limit_s = limit_s
        self._away_since: float | None = None
        self._called_at = time.monotonic()

    def calls(self) -> None:
        """A stream is asked for."""
        self._called_at = time.monotonic()

    def heard(self) -> None:
        """The service has sent something."""
        self._away_since = None

    def broke(self, error: grpc.RpcError) -> None:
        """The stream broke off. Raises ServiceError where it makes no sense to try again."""
        now = time.monotonic()
        # A quiet stream that stood for a while shows that the service was there.
        if self._away_since is None or now - self._called_at > _STOOD_S:
            self._away_since = now
        found = explained(error, self._target, self._limit_s)
        if found.code != "UNAVAILABLE" or now - self._away_since >= self._limit_s:
            raise found from error


def create_request(request: TrainRequest, request_id: str) -> pb.CreateTrainingJobRequest:
    """With an id of its own where none is given, so that a call that is sent again makes no second job."""
    return pb.CreateTrainingJobRequest(request_id=request_id or secrets.token_hex(16), request=request_to_pb(request))


def evaluation(found: pb.EvaluateHeadResponse) -> Evaluation:
    return Evaluation(found.head, found.version, found.data, found.count, dict(found.metrics))


def explained(error: grpc.RpcError, target: str, timeout_s: float) -> ServiceError:
    """The error of a call; one to a service that does not train says what to do."""
    found = from_rpc_error(error, target, timeout_s)
    if found.code != "UNIMPLEMENTED":
        return found
    text = (
        f"{target} trains nothing: name the training service, or start one where the train extra is installed "
        "(pip install 'trunkline[cpu,train]') with: trunkline serve training"
    )
    return ServiceError(found.code, "NO_TRAINING", text, {"target": target})

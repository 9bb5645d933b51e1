"""What both clients of the training service share: requests, answers, errors."""

import secrets

import grpc

from trunkline.api.training.v1 import training_service_pb2 as pb
from trunkline.client.answers import Evaluation
from trunkline.client.errors import ServiceError, from_rpc_error
from trunkline.core.train_request import TrainRequest
from trunkline.serving.wire_training import request_to_pb


def create_request(request: TrainRequest, request_id: str) -> pb.CreateTrainingJobRequest:
    """With an id of its own where none is given, so that a call that is sent again makes no second job."""
    return pb.CreateTrainingJobRequest(request_id=request_id or secrets.token_hex(16), request=request_to_pb(request))


def evaluation(found: pb.EvaluateHeadResponse) -> Evaluation:
    return Evaluation(found.head, found.version, found.data, found.count, dict(found.metrics), found.remarks)


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

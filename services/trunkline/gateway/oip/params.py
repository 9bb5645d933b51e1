"""Parameters of a request: those of the protocol, and those for the model."""

from typing import Any

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.oip.tensors import MOST_TENSORS

_MOST = 64
_SHOWN = 64  # characters of a name that came
FINAL_WANTED = "triton_enable_empty_final_response"
FINAL = "triton_final_response"
# `priority` has no meaning here; the others are for transports.
_OF_THE_PROTOCOL = frozenset({"timeout", "priority", "binary_data_output", FINAL_WANTED})


def for_the_model(request: pb.ModelInferRequest) -> dict[str, Any]:
    """Values by name. Raises InvalidRequestError for too many, and for sequences, which no model here knows."""
    if len(request.parameters) > _MOST:
        raise InvalidRequestError(f"{len(request.parameters)} parameters came; at most {_MOST} are allowed")
    values = {name: value_of(param) for name, param in request.parameters.items()}
    sequence = next((name for name in values if name.startswith("sequence_")), None)
    if sequence is not None:
        raise InvalidRequestError(f"parameter {sequence[:_SHOWN]!r}: no model keeps state between requests")
    return {name: value for name, value in values.items() if name not in _OF_THE_PROTOCOL}


def timeout_s(request: pb.ModelInferRequest) -> float | None:
    """The parameter `timeout`, which is in microseconds; None where there is none. Raises InvalidRequestError."""
    if "timeout" not in request.parameters:
        return None
    value = value_of(request.parameters["timeout"])
    if not isinstance(value, int) or value < 0:
        raise InvalidRequestError("parameter 'timeout' must be a whole number of microseconds")
    return value / 1e6 if value else None


def check_outputs(request: pb.ModelInferRequest) -> None:
    """Raises InvalidRequestError for too many, and for extensions that are not there."""
    if len(request.outputs) > MOST_TENSORS:
        raise InvalidRequestError(
            f"{len(request.outputs)} outputs were asked for; at most {MOST_TENSORS} are allowed"
        )
    for output in request.outputs:
        if "shared_memory_region" in output.parameters:
            raise InvalidRequestError("shared memory is not supported: outputs come with the response")
        if "classification" in output.parameters and value_of(output.parameters["classification"]):
            raise InvalidRequestError(
                "the classification extension is not supported: outputs 'scores' and 'labels' of a classification "
                "head are the best classes already; the request parameter top_k says how many"
            )


def value_of(param: pb.InferParameter) -> Any:
    """Its value, of the type that was sent; None where nothing was."""
    name = param.WhichOneof("parameter_choice")
    return getattr(param, name) if name else None

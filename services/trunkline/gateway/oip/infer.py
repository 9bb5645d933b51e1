"""One request of the protocol: read, ask the model, answer, count."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.core.errors import DeadlineError, InvalidRequestError
from trunkline.gateway.oip import params
from trunkline.gateway.oip.model import PICTURE, Description, Item, Model, ModelRequest
from trunkline.gateway.oip.models import Models
from trunkline.gateway.oip.outputs import stacked
from trunkline.gateway.oip.statistics import Statistics
from trunkline.gateway.oip.tensors import put_output, read_inputs
from trunkline.serving.aside import LARGE_BYTES, aside

T = TypeVar("T")

_SHOWN = 64  # characters of a name that came


class Inference:
    """Answers requests with whatever the models are."""

    def __init__(self, models: Models, statistics: Statistics, default_timeout_s: float) -> None:
        self._models = models
        self._statistics = statistics
        self._default_timeout_s = default_timeout_s

    async def infer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        """Raises NotFoundError, InvalidRequestError, DeadlineError and what the model raises."""
        model = self._model(request)
        found = model.description
        started_ns = time.perf_counter_ns()
        try:
            params.check_outputs(request)
            wanted = _wanted(request, found)
            items = await self._ask(model, found, wanted, request, context)
        except Exception:
            self._statistics.failed(found.name, found.version, time.perf_counter_ns() - started_ns)
            raise
        asked_ns = time.perf_counter_ns()
        response = await _beside(_size(items), _response, request, wanted, items)
        done_ns = time.perf_counter_ns()
        self._statistics.answered(found.name, items, done_ns - started_ns, done_ns - asked_ns)
        return response

    def _model(self, request: pb.ModelInferRequest) -> Model:
        """A canary gets a share of the requests with pictures alone: it may take other tensors than the default."""
        pictures = all(tensor.name == PICTURE for tensor in request.inputs)
        look_up = self._models.resolve if pictures else self._models.find
        return look_up(request.model_name, request.model_version)

    async def _ask(
        self, model: Model, found: Description, wanted: tuple[str, ...], request: pb.ModelInferRequest, context: Any
    ) -> list[Item]:
        timeout_s = self._timeout_s(request, context)
        question = ModelRequest(
            inputs=await self._inputs(request, found),
            params=params.for_the_model(request),
            wanted=wanted,
            timeout_s=timeout_s,
            context=context,
        )
        try:
            async with asyncio.timeout(timeout_s):
                return await model.answer(question)
        except TimeoutError as error:
            raise DeadlineError("the deadline of the request has passed") from error

    async def _inputs(self, request: pb.ModelInferRequest, found: Description) -> Mapping[str, np.ndarray]:
        return await _beside(request.ByteSize(), read_inputs, request, found.inputs)

    def _timeout_s(self, request: pb.ModelInferRequest, context: Any) -> float:
        left_s: float | None = context.time_remaining()
        own_s = params.timeout_s(request)
        given = self._default_timeout_s if left_s is None else left_s
        return given if own_s is None else min(given, own_s)


async def _beside(size: int, work: Callable[..., T], *arguments: object) -> T:
    """work(*arguments), beside the event loop where it is about many bytes."""
    return await aside(work, *arguments) if size > LARGE_BYTES else work(*arguments)


def _size(items: Sequence[Item]) -> int:
    return sum(array.nbytes for item in items for array in item.outputs.values())


def _wanted(request: pb.ModelInferRequest, found: Description) -> tuple[str, ...]:
    """Names of the outputs; those of the description where none was asked for. Raises InvalidRequestError."""
    known = tuple(port.name for port in found.outputs)
    for output in request.outputs:
        if output.name not in known:
            raise InvalidRequestError(
                f"there is no output {output.name[:_SHOWN]!r}; outputs of this model: {', '.join(known)}"
            )
    return tuple(dict.fromkeys(output.name for output in request.outputs)) or found.default_outputs or known


def _response(request: pb.ModelInferRequest, wanted: Sequence[str], items: Sequence[Item]) -> pb.ModelInferResponse:
    response = pb.ModelInferResponse(model_name=request.model_name, model_version=items[0].version, id=request.id)
    for name in wanted:
        batch = stacked([item.outputs[name] for item in items])  # (N, …)
        put_output(response, name, batch, raw=bool(request.raw_input_contents))
    if params.FINAL_WANTED in request.parameters:
        response.parameters[params.FINAL].bool_param = True
    return response

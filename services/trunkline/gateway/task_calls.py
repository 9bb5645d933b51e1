"""The calls of VisionService that ask one head of one task, made from the tasks that are there."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from trunkline.core.tasks import callable_tasks
from trunkline.serving.wire_calls import method_of, reader_of, response_class

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Ask: TypeAlias = Callable[[Any, Any, str, Mapping[str, Any], Context], Coroutine[Any, Any, dict[str, Any]]]
Method: TypeAlias = Callable[[Any, Any, Context], Coroutine[Any, Any, Message]]


def task_calls(ask: Ask) -> dict[str, Method]:
    """By name, for a servicer. `ask` gets it, a request, task, parameters and context, and gives the response."""
    found = ((task.name, method_of(task)) for task in callable_tasks())
    return {method.name: _method(task, method, ask) for task, method in found if method is not None}


def _method(task: str, method: MethodDescriptor, ask: Ask) -> Method:
    response, params_of = response_class(method), reader_of(method)

    async def call(self: Any, request: Any, context: Context) -> Message:
        return response(**await ask(self, request, task, params_of(request), context))

    call.__name__ = call.__qualname__ = method.name
    return call

"""What tests do with the unmodified tritonclient, in a process of its own.

Its messages have the names of the server's own, so the two cannot be loaded into one process. Everything that
goes in and comes out is a plain value.
"""

from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

_KINDS = {"grpc": tritonclient.grpc, "http": tritonclient.http}


def call(kind: str, address: str, name: str, *args: Any, **kwargs: Any) -> Any:
    """Any method of the client that answers a plain value, or an error as ("error", status, message)."""
    with _client(kind, address) as client:
        if kind == "grpc" and name.startswith("get_"):
            kwargs["as_json"] = True
        return _caught(lambda: getattr(client, name)(*args, **kwargs))


def infer(
    kind: str,
    address: str,
    model: str,
    inputs: dict[str, np.ndarray],
    outputs: list[str] | None = None,
    **options: Any,
) -> Any:
    """{"model_version", "id", output name: array}, or an error as ("error", status, message)."""
    with _client(kind, address) as client:
        return _caught(lambda: _infer(kind, client, model, inputs, outputs, options))


def stream(address: str, model: str, batches: list[dict[str, np.ndarray]]) -> list[Any]:
    """One answer, or error text, for each batch, in the order of arrival."""
    found: list[Any] = []
    with _client("grpc", address) as client:

        def keep(result: Any, error: Exception | None) -> None:
            found.append(str(error) if error else _plain("grpc", result))

        client.start_stream(keep)
        for place, inputs in enumerate(batches):
            client.async_stream_infer(model, _tensors("grpc", inputs), request_id=str(place))
        client.stop_stream()
    return found


def descriptor() -> dict[str, Any]:
    """{message: {field: (number, type, repeated, type name)}} and {method: (input, output, streaming …)}."""
    from tritonclient.grpc import model_config_pb2, service_pb2

    from tests.service.descriptors import facts

    return facts(service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)


def _client(kind: str, address: str) -> Any:
    return _KINDS[kind].InferenceServerClient(address)


def _infer(
    kind: str, client: Any, model: str, inputs: dict[str, np.ndarray], outputs: list[str] | None, options: Any
) -> Any:
    module: Any = _KINDS[kind]
    wanted = None if outputs is None else [module.InferRequestedOutput(name) for name in outputs]
    return _plain(kind, client.infer(model, _tensors(kind, inputs), outputs=wanted, **options))


def _tensors(kind: str, inputs: dict[str, np.ndarray]) -> list[Any]:
    types = {"object": "BYTES", "float32": "FP32", "uint8": "UINT8", "int32": "INT32"}
    made = []
    for name, array in inputs.items():
        tensor = _KINDS[kind].InferInput(name, list(array.shape), types[str(array.dtype)])
        tensor.set_data_from_numpy(array)
        made.append(tensor)
    return made


def _plain(kind: str, result: Any) -> dict[str, Any]:
    response = result.get_response(as_json=True) if kind == "grpc" else result.get_response()
    names = [output["name"] for output in response.get("outputs", [])]
    found = {name: result.as_numpy(name) for name in names}
    return {"model_version": response["model_version"], "id": response.get("id", ""), **found}


def _caught(do: Any) -> Any:
    try:
        return do()
    except InferenceServerException as error:
        return ("error", error.status(), error.message())

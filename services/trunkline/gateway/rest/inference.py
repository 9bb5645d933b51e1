"""/v2: the Open Inference Protocol over REST."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.rest.body import read_body
from trunkline.gateway.rest.calls import call
from trunkline.gateway.rest.errors import as_error_object
from trunkline.gateway.rest.plain import plain
from trunkline.gateway.rest.tensors import HEADER_LENGTH, binary_outputs, read_request, write_response

_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_Endpoint = Callable[[Request], Awaitable[Response]]


def routes(channel: grpc.aio.Channel, limit_bytes: int) -> list[Route]:
    """All of them; models with and without a version in the path."""
    api = _Api(channel, limit_bytes)
    found = [
        Route("/v2", _guarded(api.server), methods=["GET"]),
        Route("/v2/health/live", _guarded(api.live), methods=["GET"]),
        Route("/v2/health/ready", _guarded(api.ready), methods=["GET"]),
        Route("/v2/models/stats", _guarded(api.stats), methods=["GET"]),
        Route("/v2/repository/index", _guarded(api.index), methods=["POST"]),
        Route("/v2/repository/models/{name}/load", _guarded(api.load), methods=["POST"]),
        Route("/v2/repository/models/{name}/unload", _guarded(api.unload), methods=["POST"]),
    ]
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        found += [
            Route(model, _guarded(api.metadata), methods=["GET"]),
            Route(f"{model}/ready", _guarded(api.model_ready), methods=["GET"]),
            Route(f"{model}/config", _guarded(api.config), methods=["GET"]),
            Route(f"{model}/stats", _guarded(api.stats), methods=["GET"]),
            Route(f"{model}/infer", _guarded(api.infer), methods=["POST"]),
        ]
    return found


class _Api:
    def __init__(self, channel: grpc.aio.Channel, limit_bytes: int) -> None:
        self._channel = channel
        self._limit_bytes = limit_bytes

    async def server(self, request: Request) -> Response:
        return JSONResponse(plain(await self._call("ServerMetadata", pb.ServerMetadataRequest(), request)))

    async def live(self, request: Request) -> Response:
        return _state((await self._call("ServerLive", pb.ServerLiveRequest(), request)).live, "live")

    async def ready(self, request: Request) -> Response:
        return _state((await self._call("ServerReady", pb.ServerReadyRequest(), request)).ready, "ready")

    async def model_ready(self, request: Request) -> Response:
        asked = pb.ModelReadyRequest(**request.path_params)
        return _state((await self._call("ModelReady", asked, request)).ready, "ready")

    async def metadata(self, request: Request) -> Response:
        asked = pb.ModelMetadataRequest(**request.path_params)
        return JSONResponse(plain(await self._call("ModelMetadata", asked, request)))

    async def config(self, request: Request) -> Response:
        asked = pb.ModelConfigRequest(**request.path_params)
        return JSONResponse(plain((await self._call("ModelConfig", asked, request)).config))

    async def stats(self, request: Request) -> Response:
        asked = pb.ModelStatisticsRequest(**request.path_params)
        return JSONResponse(plain(await self._call("ModelStatistics", asked, request)))

    async def index(self, request: Request) -> Response:
        ready = _document(await read_body(request, self._limit_bytes)).get("ready", False)
        asked = pb.RepositoryIndexRequest(ready=ready is True)
        found = await self._call("RepositoryIndex", asked, request)
        return JSONResponse([plain(model) for model in found.models])

    async def load(self, request: Request) -> Response:
        asked = pb.RepositoryModelLoadRequest(model_name=request.path_params["name"])
        return JSONResponse(plain(await self._call("RepositoryModelLoad", asked, request)))

    async def unload(self, request: Request) -> Response:
        asked = pb.RepositoryModelUnloadRequest(model_name=request.path_params["name"])
        return JSONResponse(plain(await self._call("RepositoryModelUnload", asked, request)))

    async def infer(self, request: Request) -> Response:
        body = await read_body(request, self._limit_bytes)
        asked = read_request(body, request.headers.get(HEADER_LENGTH))
        asked.model_name = request.path_params["name"]
        asked.model_version = request.path_params.get("version", "")
        answer = await self._call("ModelInfer", asked, request)
        content, length = write_response(answer, *binary_outputs(asked))
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={HEADER_LENGTH: str(length)}, media_type="application/octet-stream")

    async def _call(self, method: str, message: Message, request: Request) -> Any:
        response = getattr(pb, f"{method}Response")
        return await call(self._channel, f"/{_SERVICE}/{method}", message, response, request)


def _guarded(endpoint: _Endpoint) -> _Endpoint:
    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:  # every error gets its object
            return as_error_object(error)

    return guarded


def _state(holds: bool, name: str) -> Response:
    return JSONResponse({name: holds}, 200 if holds else 503)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise InvalidRequestError(f"the body is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequestError("the body is a JSON object")
    return document

"""/v2: the Open Inference Protocol over REST."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.gateway.rest.body import Body, read_body
from trunkline.gateway.rest.calls import call
from trunkline.gateway.rest.endpoint import Endpoint, PacedResponse, Port
from trunkline.gateway.rest.errors import as_error_object
from trunkline.gateway.rest.joining import with_contents
from trunkline.gateway.rest.jsons import load_object
from trunkline.gateway.rest.limits import BodyLimit, json_limit, tensors_json_limit, tensors_limit
from trunkline.gateway.rest.plain import plain
from trunkline.gateway.rest.tensors import HEADER_LENGTH, binary_outputs, header_length, read_request, write_response
from trunkline.serving.aside import LARGE_BYTES
from trunkline.serving.budget import Hold

_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_Behaviour = Callable[[Request, Hold], Awaitable[Response]]


class V2Route(NamedTuple):
    """A line of the table. method: of GRPCInferenceService. behaviour: of _Api."""

    verb: str
    path: str
    method: str
    behaviour: str


_OF_A_MODEL: Final = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
ROUTES: Final = (
    V2Route("GET", "/v2", "ServerMetadata", "server"),
    V2Route("GET", "/v2/health/live", "ServerLive", "live"),
    V2Route("GET", "/v2/health/ready", "ServerReady", "ready"),
    V2Route("GET", "/v2/models/stats", "ModelStatistics", "stats"),
    V2Route("POST", "/v2/repository/index", "RepositoryIndex", "index"),
    V2Route("POST", "/v2/repository/models/{name}/load", "RepositoryModelLoad", "load"),
    V2Route("POST", "/v2/repository/models/{name}/unload", "RepositoryModelUnload", "unload"),
    *(V2Route("GET", model, "ModelMetadata", "metadata") for model in _OF_A_MODEL),
    *(V2Route("GET", f"{model}/ready", "ModelReady", "model_ready") for model in _OF_A_MODEL),
    *(V2Route("GET", f"{model}/config", "ModelConfig", "config") for model in _OF_A_MODEL),
    *(V2Route("GET", f"{model}/stats", "ModelStatistics", "stats") for model in _OF_A_MODEL),
    *(V2Route("POST", f"{model}/infer", "ModelInfer", "infer") for model in _OF_A_MODEL),
)


def routes(port: Port) -> list[Route]:
    """All of them; models with and without a version in the path."""
    api = _Api(port)

    def route(line: V2Route) -> Route:
        behaviour: _Behaviour = getattr(api, line.behaviour)
        endpoint = Endpoint(behaviour, as_error_object, port, f"/{_SERVICE}/{line.method}")
        return Route(line.path, endpoint, methods=[line.verb])

    return list(map(route, ROUTES))


class _Api:
    def __init__(self, port: Port) -> None:
        self._port = port
        self._tensors_limit = tensors_limit(port.settings)
        self._json_limit = tensors_json_limit(port.settings)
        self._small_limit = json_limit(pb.RepositoryIndexRequest.DESCRIPTOR, port.settings)

    async def server(self, request: Request, _hold: Hold) -> Response:
        return JSONResponse(plain(await self._call(pb.ServerMetadataRequest(), request)))

    async def live(self, request: Request, _hold: Hold) -> Response:
        return _state((await self._call(pb.ServerLiveRequest(), request)).live, "live")

    async def ready(self, request: Request, _hold: Hold) -> Response:
        return _state((await self._call(pb.ServerReadyRequest(), request)).ready, "ready")

    async def model_ready(self, request: Request, _hold: Hold) -> Response:
        return _state((await self._call(pb.ModelReadyRequest(**request.path_params), request)).ready, "ready")

    async def metadata(self, request: Request, _hold: Hold) -> Response:
        return JSONResponse(plain(await self._call(pb.ModelMetadataRequest(**request.path_params), request)))

    async def config(self, request: Request, _hold: Hold) -> Response:
        return JSONResponse(plain((await self._call(pb.ModelConfigRequest(**request.path_params), request)).config))

    async def stats(self, request: Request, _hold: Hold) -> Response:
        return JSONResponse(plain(await self._call(pb.ModelStatisticsRequest(**request.path_params), request)))

    async def index(self, request: Request, hold: Hold) -> Response:
        body = await read_body(request, self._small_limit, hold)
        document = await self._port.reading.run(body.work, load_object, body.take())
        found = await self._call(pb.RepositoryIndexRequest(ready=document.get("ready") is True), request)
        return JSONResponse([plain(model) for model in found.models])

    async def load(self, request: Request, _hold: Hold) -> Response:
        asked = pb.RepositoryModelLoadRequest(model_name=request.path_params["name"])
        return JSONResponse(plain(await self._call(asked, request)))

    async def unload(self, request: Request, _hold: Hold) -> Response:
        asked = pb.RepositoryModelUnloadRequest(model_name=request.path_params["name"])
        return JSONResponse(plain(await self._call(asked, request)))

    async def infer(self, request: Request, hold: Hold) -> Response:
        length = header_length(request.headers.get(HEADER_LENGTH))
        limit = self._json_limit if length is None else self._tensors_limit
        body = await read_body(request, limit, hold)
        message, binary = await self._port.reading.run(
            body.work, _infer_request, body, length, self._json_limit, request.path_params
        )
        hold.release()  # the gRPC port counts what it receives
        raw = await call(self._port.channel, f"/{_SERVICE}/ModelInfer", message, request)
        del message
        if len(raw) > LARGE_BYTES:
            hold.add(2 * len(raw))
        content, length = await self._port.answering.run(4 * len(raw), _infer_response, raw, *binary)
        if length is None:
            return PacedResponse(content, media_type="application/json")
        return PacedResponse(content, headers={HEADER_LENGTH: str(length)}, media_type="application/octet-stream")

    async def _call(self, message: Message, request: Request) -> Any:
        """The answer of the call that takes such a message, for those whose answers are small."""
        method = message.DESCRIPTOR.name.removesuffix("Request")
        raw = await call(self._port.channel, f"/{_SERVICE}/{method}", message.SerializeToString(), request)
        return getattr(pb, f"{method}Response").FromString(raw)


def _infer_request(
    body: Body, length: int | None, limit: BodyLimit, path: Mapping[str, str]
) -> tuple[bytes, tuple[dict[str, bool], bool]]:
    """The request as bytes, and which outputs are to be binary."""
    asked, contents = read_request(body.take(), length, limit)
    asked.model_name = path["name"]
    asked.model_version = path.get("version", "")
    return with_contents(asked, "raw_input_contents", contents), binary_outputs(asked)


def _infer_response(raw: bytes, asked: Mapping[str, bool], default: bool) -> tuple[bytes, int | None]:
    return write_response(pb.ModelInferResponse.FromString(raw), asked, default)


def _state(holds: bool, name: str) -> Response:
    return JSONResponse({name: holds}, 200 if holds else 503)

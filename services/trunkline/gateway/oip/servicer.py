"""GRPCInferenceService: convert, call, convert."""

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from trunkline import __version__
from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.api.oip.v2 import inference_service_pb2_grpc as pb_grpc
from trunkline.core.errors import ModelInvalidError, NotFoundError, UnsupportedError
from trunkline.gateway.directory import Directory
from trunkline.gateway.oip import describe
from trunkline.gateway.oip.infer import Inference
from trunkline.gateway.oip.models import Models
from trunkline.gateway.oip.statistics import Statistics
from trunkline.gateway.oip.stream import answers

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
EXTENSIONS = ("model_repository", "model_configuration", "statistics", "binary_tensor_data", "parameters")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class InferenceServicer(pb_grpc.GRPCInferenceServiceServicer):
    def __init__(self, models: Models, directory: Directory, default_timeout_s: float) -> None:
        self._models = models
        self._directory = directory
        self._statistics = Statistics()
        self._inference = Inference(models, self._statistics, default_timeout_s)
        self._draining = False

    def stop(self) -> None:
        """From now on the server is not ready."""
        self._draining = True

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._directory.usable and not self._draining)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        try:
            fault = self._models.find(request.name, request.version).fault
        except NotFoundError:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=not fault)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Context) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name="trunkline", version=__version__, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        return describe.metadata(self._models.find(request.name, request.version).description)

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Context) -> pb.ModelConfigResponse:
        found = self._models.find(request.name, request.version).description
        return pb.ModelConfigResponse(config=describe.config(found))

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        if not request.name:
            found = [model.description for model in self._models.all()]
        elif request.version:
            found = [self._models.find(request.name, request.version).description]
        else:
            name = self._models.find(request.name, "").description.name
            found = [each for each in (model.description for model in self._models.all()) if each.name == name]
        return pb.ModelStatisticsResponse(
            model_stats=[self._statistics.of(each.name, each.version) for each in found]
        )

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        return await self._inference.infer(request, context)

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        async for answer in answers(request_iterator, self._inference, context):
            yield answer

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        entries = [describe.index_entry(model) for model in self._models.all()]
        return pb.RepositoryIndexResponse(
            models=[entry for entry in entries if entry.state == "READY" or not request.ready]
        )

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        """Done where the model answers already: services follow the repository by themselves."""
        await self._directory.refresh()
        try:
            model = self._models.find(request.model_name, "")
        except NotFoundError as error:
            raise NotFoundError(
                f"{error.message}. Services load what is in the repository by themselves, within seconds; "
                "which version answers is changed by: trunkline models promote NAME VERSION",
                **error.metadata,
            ) from error
        if model.fault:
            name = model.description.name
            raise ModelInvalidError(f"model {name!r} cannot answer: {model.fault}", model=name)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        """Refused: which models are served is said by the repository and the settings."""
        name = self._models.find(request.model_name, "").description.name
        raise UnsupportedError(
            f"model {name!r} is served because it is in the repository and chosen by TRUNKLINE_HEADS: change these; "
            "which version answers is changed by: trunkline models promote NAME VERSION",
            model=name,
        )

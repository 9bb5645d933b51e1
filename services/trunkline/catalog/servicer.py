"""CatalogService: convert, call beside the event loop, convert."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

import grpc

from trunkline.api.catalog.v1 import catalog_service_pb2 as pb
from trunkline.api.catalog.v1 import catalog_service_pb2_grpc as pb_grpc
from trunkline.catalog.catalog import Catalog
from trunkline.catalog.several import promote_all
from trunkline.core.errors import InvalidRequestError, NotFoundError
from trunkline.serving import catalog_wire as wire
from trunkline.serving.pages import message_page
from trunkline.serving.reads import Places
from trunkline.serving.security.callers import finds, is_limited, no_such_head, sees

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
T = TypeVar("T")
_AT_ONCE = 16  # calls that read files; each that hangs holds a thread
_DIGITS = 18  # as many as a version has at most: page tokens are in order as text


class CatalogServicer(pb_grpc.CatalogServiceServicer):
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._files = Places("the model folder", _AT_ONCE)

    async def _ask(self, work: Callable[[], T]) -> T:
        """Beside the event loop. What a caller does not see is in no error."""
        try:
            return await self._files.ask(work)
        except NotFoundError as error:
            if is_limited():
                raise no_such_head(error.metadata.get("name", "")) from None
            raise

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        models = [model for model in await self._ask(self._catalog.models) if sees(model.name)]
        part, token = message_page(
            models, lambda model: model.name, wire.model_to_pb, request.page_size, request.page_token
        )
        return pb.ListModelsResponse(models=part, next_page_token=token)

    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, context: Context
    ) -> pb.ListModelVersionsResponse:
        model = await self._ask(partial(self._catalog.model, _name(request)))
        versions = await self._ask(lambda: self._catalog.versions(model.name))
        part, token = message_page(
            versions,
            lambda each: f"{each.version:0{_DIGITS}}",
            wire.version_to_pb,
            request.page_size,
            request.page_token,
        )
        return pb.ListModelVersionsResponse(versions=part, next_page_token=token, model=wire.model_to_pb(model))

    async def GetModelVersion(
        self, request: pb.GetModelVersionRequest, context: Context
    ) -> pb.GetModelVersionResponse:
        version, card = await self._ask(partial(self._catalog.version, _name(request), request.version or None))
        return pb.GetModelVersionResponse(version=wire.version_to_pb(version), card=card)

    async def PromoteModelVersion(
        self, request: pb.PromoteModelVersionRequest, context: Context
    ) -> pb.PromoteModelVersionResponse:
        margin = request.margin if request.HasField("margin") else None
        model = await self._ask(
            partial(self._catalog.promote, _name(request), request.version, margin=margin, force=request.force)
        )
        return pb.PromoteModelVersionResponse(model=wire.model_to_pb(model))

    async def PromoteModelVersions(
        self, request: pb.PromoteModelVersionsRequest, context: Context
    ) -> pb.PromoteModelVersionsResponse:
        margin = request.margin if request.HasField("margin") else None
        versions = [(_name(each), each.version) for each in request.versions]
        models = await self._ask(lambda: promote_all(self._catalog, versions, margin=margin, force=request.force))
        return pb.PromoteModelVersionsResponse(models=map(wire.model_to_pb, models))

    async def RollbackModel(self, request: pb.RollbackModelRequest, context: Context) -> pb.RollbackModelResponse:
        model = await self._ask(partial(self._catalog.rollback, _name(request)))
        return pb.RollbackModelResponse(model=wire.model_to_pb(model))

    async def SetCanary(self, request: pb.SetCanaryRequest, context: Context) -> pb.SetCanaryResponse:
        model = await self._ask(partial(self._catalog.set_canary, _name(request), request.version, request.share))
        return pb.SetCanaryResponse(model=wire.model_to_pb(model))

    async def SetAlias(self, request: pb.SetAliasRequest, context: Context) -> pb.SetAliasResponse:
        model = await self._ask(partial(self._catalog.set_alias, _name(request), request.alias, request.version))
        return pb.SetAliasResponse(model=wire.model_to_pb(model))

    async def DeleteAlias(self, request: pb.DeleteAliasRequest, context: Context) -> pb.DeleteAliasResponse:
        model = await self._ask(partial(self._catalog.delete_alias, _name(request), request.alias))
        return pb.DeleteAliasResponse(model=wire.model_to_pb(model))


def _name(request: Any) -> str:
    if not request.name:
        raise InvalidRequestError("name a head; ListModels lists them")
    if not finds(request.name):
        raise no_such_head(request.name)
    return str(request.name)

"""The catalog for plain code, on the port of the gateway.

with CatalogClient("127.0.0.1:8500") as catalog:
    catalog.promote("flowers", 2)
"""

# From catalog_aio.py, by python -m docs.generate: change that one.

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from trunkline.api.catalog.v1 import catalog_service_pb2 as pb
from trunkline.api.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from trunkline.client.connection import DEFAULT_TARGET, Credentials, open_sync
from trunkline.client.errors import from_rpc_error
from trunkline.core.models import Model, ModelVersion
from trunkline.serving.catalog_wire import model_from_pb, version_from_pb

_TIMEOUT_S = 30.0


class CatalogClient:
    """A connection to a gateway or catalog service at HOST:PORT. May be shared between threads.

    Every method raises ServiceError where the call fails, UnreachableError where nothing answers. Those that change
    something return the head after it; head services follow within seconds.
    """

    def __init__(
        self, target: str = DEFAULT_TARGET, timeout_s: float = _TIMEOUT_S, credentials: Credentials | None = None
    ) -> None:
        """`timeout_s` is for each call. credentials: those of the environment where none are given."""
        self.target = target
        self._timeout_s = timeout_s
        self._channel = open_sync(target, credentials)
        self._stub = CatalogServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. Calls in flight are cancelled."""
        self._channel.close()

    def models(self) -> list[Model]:
        """All heads, in order of name."""
        found: list[Model] = []
        token = ""
        while True:
            page = self._call(self._stub.ListModels, pb.ListModelsRequest(page_token=token))
            found.extend(map(model_from_pb, page.models))
            token = page.next_page_token
            if not token:
                return found

    def model(self, name: str) -> Model:
        """The state of one head."""
        request = pb.ListModelVersionsRequest(name=name, page_size=1)
        return model_from_pb(self._call(self._stub.ListModelVersions, request).model)

    def versions(self, name: str) -> list[ModelVersion]:
        """The versions of a head, the lowest first."""
        found: list[ModelVersion] = []
        token = ""
        while True:
            request = pb.ListModelVersionsRequest(name=name, page_token=token)
            page = self._call(self._stub.ListModelVersions, request)
            found.extend(map(version_from_pb, page.versions))
            token = page.next_page_token
            if not token:
                return found

    def version(self, name: str, version: int | None = None) -> tuple[ModelVersion, str]:
        """A version, the default one where none is named, and its card."""
        answer = self._call(self._stub.GetModelVersion, pb.GetModelVersionRequest(name=name, version=version or 0))
        return version_from_pb(answer.version), answer.card

    def promote(self, name: str, version: int, *, margin: float | None = None, force: bool = False) -> Model:
        """Make a version the default. Code FAILED_PRECONDITION, reason GATE_FAILED where it is not good enough."""
        request = pb.PromoteModelVersionRequest(name=name, version=version, margin=margin, force=force)
        return model_from_pb(self._call(self._stub.PromoteModelVersion, request).model)

    def promote_all(
        self, versions: Sequence[tuple[str, int]], *, margin: float | None = None, force: bool = False
    ) -> list[Model]:
        """Make each (head, version) the default of its head: all of them, or none. Returns the heads, in order."""
        named = [pb.HeadVersion(name=name, version=version) for name, version in versions]
        request = pb.PromoteModelVersionsRequest(versions=named, margin=margin, force=force)
        answer = self._call(self._stub.PromoteModelVersions, request)
        return list(map(model_from_pb, answer.models))

    def rollback(self, name: str) -> Model:
        """Make the default before this one the default again."""
        return model_from_pb(self._call(self._stub.RollbackModel, pb.RollbackModelRequest(name=name)).model)

    def set_canary(self, name: str, version: int, share: float) -> Model:
        """Give a version a share, 0 to 1, of the calls that name no version; 0 removes the canary."""
        request = pb.SetCanaryRequest(name=name, version=version, share=share)
        return model_from_pb(self._call(self._stub.SetCanary, request).model)

    def set_alias(self, name: str, alias: str, version: int) -> Model:
        """Let NAME@ALIAS be answered by a version."""
        request = pb.SetAliasRequest(name=name, alias=alias, version=version)
        return model_from_pb(self._call(self._stub.SetAlias, request).model)

    def delete_alias(self, name: str, alias: str) -> Model:
        """Remove an alias."""
        request = pb.DeleteAliasRequest(name=name, alias=alias)
        return model_from_pb(self._call(self._stub.DeleteAlias, request).model)

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target, self._timeout_s) from None

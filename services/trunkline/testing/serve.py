"""Servers on free ports of 127.0.0.1, in this process, over real sockets."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from trunkline.assembly import roles
from trunkline.assembly.shared import shared_folder
from trunkline.serving.host import Host
from trunkline.serving.settings import Settings, read_settings

_LOCAL: dict[str, Any] = {
    "address": "127.0.0.1:0",
    "drain_pause_s": 0.0,
    "drain_s": 5.0,
    "training_jobs": 0,
    "feature_cache_bytes": 0,
    "gallery_database": "",
}


def local_settings(**overrides: Any) -> Settings:
    """Settings for tests: a free port, quick drain, no training or galleries; each call computes what it asks for."""
    return read_settings(**{**_LOCAL, **overrides})


@asynccontextmanager
async def serve(**overrides: Any) -> AsyncIterator[Host]:
    """All in one; `overrides` are fields of Settings. The host's `address` is where it listens."""
    async with roles.all_in_one(local_settings(**overrides)) as host:
        yield host


@asynccontextmanager
async def serve_split(**overrides: Any) -> AsyncIterator[Host]:
    """Backbone, heads, catalog and gateway, each with its own server and gRPC between them; yields the gateway.

    They share features through memory, unless `shared_memory_mib` is 0.
    """
    settings = local_settings(**overrides)
    async with contextlib.AsyncExitStack() as stack:
        shared = stack.enter_context(shared_folder(settings))
        settings = settings.model_copy(update={"shared_memory": shared})
        backbone = await stack.enter_async_context(roles.backbone(settings))
        heads = await stack.enter_async_context(roles.heads(settings))
        catalog = await stack.enter_async_context(roles.catalog(settings))
        behind = {
            "backbone_address": backbone.address,
            "head_addresses": (heads.address,),
            "catalog_address": catalog.address,
        }
        async with roles.gateway(local_settings(**{**overrides, **behind})) as host:
            yield host

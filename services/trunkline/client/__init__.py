"""Typed clients of the gateway: `Client` for plain code, `AsyncClient` for asyncio, the same methods on both;
`CatalogClient` and `AsyncCatalogClient` for versions, promotions and canaries.

with Client("127.0.0.1:8500") as client:
    answer = client.classify("photo.jpg")
    print(answer.result.labels[0])
"""

from trunkline.client.aio import AsyncClient
from trunkline.client.answers import (
    AnalyzeAnswer,
    ClassifyAnswer,
    HeadOutcome,
    ImageSize,
    RegressAnswer,
    ServedHead,
    SingleAnswer,
    Timings,
)
from trunkline.client.catalog import CatalogClient
from trunkline.client.catalog_aio import AsyncCatalogClient
from trunkline.client.connection import DEFAULT_TARGET
from trunkline.client.encode import ImageLike, encode_image
from trunkline.client.errors import ServiceError, UnreachableError
from trunkline.client.messages import HeadAsk
from trunkline.client.sync import Client

__all__ = [
    "DEFAULT_TARGET",
    "AnalyzeAnswer",
    "AsyncCatalogClient",
    "AsyncClient",
    "CatalogClient",
    "ClassifyAnswer",
    "Client",
    "HeadAsk",
    "HeadOutcome",
    "ImageLike",
    "ImageSize",
    "RegressAnswer",
    "ServedHead",
    "ServiceError",
    "SingleAnswer",
    "Timings",
    "UnreachableError",
    "encode_image",
]

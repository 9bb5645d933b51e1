"""Typed clients of the gateway: `Client` for plain code, `AsyncClient` for asyncio, the same methods on both;
`CatalogClient` and `AsyncCatalogClient` for versions, promotions and canaries.

`TrainingClient` and `AsyncTrainingClient` are those of the training service, `GalleryClient` and `AsyncGalleryClient`
those of galleries.

with Client("127.0.0.1:8500") as client:
    answer = client.classify("photo.jpg")
    print(answer.result.labels[0])
"""

from trunkline.client import task_answers
from trunkline.client.aio import AsyncClient
from trunkline.client.answers import (
    AnalyzeAnswer,
    CompareAnswer,
    Evaluation,
    HeadOutcome,
    HeadVariant,
    ImageSize,
    Pass,
    PassHead,
    PictureAnswer,
    ServedHead,
    SingleAnswer,
    Timings,
)
from trunkline.client.catalog import CatalogClient
from trunkline.client.catalog_aio import AsyncCatalogClient
from trunkline.client.connection import DEFAULT_TARGET, Credentials
from trunkline.client.encode import ImageLike, encode_image
from trunkline.client.errors import ServiceError, UnreachableError
from trunkline.client.galleries import GalleryClient
from trunkline.client.galleries_aio import AsyncGalleryClient
from trunkline.client.galleries_calls import AddAnswer, GalleryImage
from trunkline.client.messages import HeadAsk
from trunkline.client.sync import Client
from trunkline.client.task_answers import *  # noqa: F403
from trunkline.client.training import TrainingClient
from trunkline.client.training_aio import AsyncTrainingClient
from trunkline.core.galleries import AddStatus, Gallery, GalleryMatch, Reembedding, SearchBy, SearchResult
from trunkline.core.jobs import Job, JobError, JobEvent, JobProgress, JobState, StateChange
from trunkline.core.progress import Epoch
from trunkline.core.train_request import FitOptions, TrainRequest

__all__ = [
    "DEFAULT_TARGET",
    "AddAnswer",
    "AddStatus",
    "AnalyzeAnswer",
    "AsyncCatalogClient",
    "AsyncClient",
    "AsyncGalleryClient",
    "AsyncTrainingClient",
    "CatalogClient",
    "Client",
    "CompareAnswer",
    "Credentials",
    "Epoch",
    "Evaluation",
    "FitOptions",
    "Gallery",
    "GalleryClient",
    "GalleryImage",
    "GalleryMatch",
    "HeadAsk",
    "HeadOutcome",
    "HeadVariant",
    "ImageLike",
    "ImageSize",
    "Job",
    "JobError",
    "JobEvent",
    "JobProgress",
    "JobState",
    "Pass",
    "PassHead",
    "PictureAnswer",
    "Reembedding",
    "SearchBy",
    "SearchResult",
    "ServedHead",
    "ServiceError",
    "SingleAnswer",
    "StateChange",
    "Timings",
    "TrainRequest",
    "TrainingClient",
    "UnreachableError",
    "encode_image",
]
__all__ += task_answers.__all__

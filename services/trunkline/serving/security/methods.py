"""Which role each method needs: one table beside the calls of tasks, and what is in neither nobody may call."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from trunkline.core.tasks import callable_tasks
from trunkline.serving.security.callers import Role
from trunkline.serving.wire_calls import method_of

# Method; roles of which one is enough, `any` of them, `open` to all, or `reflection` as the access file says; and, of
# those that change something, the fields that name it.
_TABLE: Final = """
grpc.health.v1.Health/Check                                         open
grpc.health.v1.Health/List                                          any
grpc.health.v1.Health/Watch                                         open
grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo       reflection

trunkline.api.vision.v1.VisionService/Compare                       infer
trunkline.api.vision.v1.VisionService/Explain                       infer
trunkline.api.vision.v1.VisionService/Analyze                       infer
trunkline.api.vision.v1.VisionService/AnalyzeStream                 infer
trunkline.api.vision.v1.VisionService/ListHeads                     any
trunkline.api.vision.v1.VisionService/GetHead                       any

inference.GRPCInferenceService/ServerLive                           open
inference.GRPCInferenceService/ServerReady                          open
inference.GRPCInferenceService/ServerMetadata                       any
inference.GRPCInferenceService/ModelReady                           any
inference.GRPCInferenceService/ModelMetadata                        any
inference.GRPCInferenceService/ModelConfig                          any
inference.GRPCInferenceService/ModelStatistics                      any
inference.GRPCInferenceService/RepositoryIndex                      any
inference.GRPCInferenceService/RepositoryModelLoad                  admin
inference.GRPCInferenceService/RepositoryModelUnload                admin
inference.GRPCInferenceService/ModelInfer                           infer
inference.GRPCInferenceService/ModelStreamInfer                     infer

trunkline.api.vision.v1.GalleryService/GetGallery                   gallery-read,gallery-write
trunkline.api.vision.v1.GalleryService/ListGalleries                gallery-read,gallery-write
trunkline.api.vision.v1.GalleryService/SearchGallery                gallery-read
trunkline.api.vision.v1.GalleryService/CreateGallery                gallery-write   gallery,head
trunkline.api.vision.v1.GalleryService/DeleteGallery                gallery-write   gallery
trunkline.api.vision.v1.GalleryService/AddImages                    gallery-write   gallery
trunkline.api.vision.v1.GalleryService/DeleteImages                 gallery-write   gallery
trunkline.api.vision.v1.GalleryService/ReembedGallery               gallery-write   gallery,head
trunkline.api.vision.v1.GalleryService/CancelReembedding            gallery-write   gallery

trunkline.api.training.v1.TrainingService/GetTrainingJob            train
trunkline.api.training.v1.TrainingService/ListTrainingJobs          train
trunkline.api.training.v1.TrainingService/WatchTrainingJob          train
trunkline.api.training.v1.TrainingService/EvaluateHead              train
trunkline.api.training.v1.TrainingService/CreateTrainingJob         train           request.name
trunkline.api.training.v1.TrainingService/CancelTrainingJob         train           job
trunkline.api.training.v1.TrainingService/DeleteTrainingJob         train           job

trunkline.api.catalog.v1.CatalogService/ListModels                  train,admin
trunkline.api.catalog.v1.CatalogService/ListModelVersions           train,admin
trunkline.api.catalog.v1.CatalogService/GetModelVersion             train,admin
trunkline.api.catalog.v1.CatalogService/PromoteModelVersion         admin           name,version
trunkline.api.catalog.v1.CatalogService/PromoteModelVersions        admin           versions
trunkline.api.catalog.v1.CatalogService/RollbackModel               admin           name
trunkline.api.catalog.v1.CatalogService/SetCanary                   admin           name,version,share
trunkline.api.catalog.v1.CatalogService/SetAlias                    admin           name,alias,version
trunkline.api.catalog.v1.CatalogService/DeleteAlias                 admin           name,alias

trunkline.api.inference.v1.BackboneService/DescribeBackbone         peer
trunkline.api.inference.v1.BackboneService/ExtractFeatures          peer
trunkline.api.inference.v1.HeadService/DescribeHeads                peer
trunkline.api.inference.v1.HeadService/ExplainHead                  peer
trunkline.api.inference.v1.HeadService/Predict                      peer
trunkline.api.inference.v1.HeadService/PredictAll                   peer
"""
_ANALYZE: Final = "trunkline.api.vision.v1.VisionService/Analyze"
_CALLERS: Final = frozenset(Role) - {Role.PEER}


@dataclass(frozen=True)
class Need:
    """What a method needs. roles: one of them is enough; empty where nobody may call it.

    changes: fields of the request that name what it changes; empty where it changes nothing.
    """

    roles: frozenset[Role] = frozenset()
    is_open: bool = False
    is_reflection: bool = False
    changes: tuple[str, ...] = ()


_NOBODY: Final = Need()


def need_of(method: str) -> Need:
    """Of a method by its path, with or without the first slash. What is not in the table nobody may call."""
    return needs().get(method.removeprefix("/"), _NOBODY)


@cache
def needs() -> Mapping[str, Need]:
    """All of the table, and the calls that ask one head of one task, which need what Analyze needs."""
    table = dict(_rows())
    calls = [method for method in map(method_of, callable_tasks()) if method is not None]
    return {f"{call.containing_service.full_name}/{call.name}": table[_ANALYZE] for call in calls} | table


def _rows() -> Iterator[tuple[str, Need]]:
    for line in filter(None, _TABLE.splitlines()):
        method, who, *changes = line.split()
        fields = tuple(changes[0].split(",")) if changes else ()
        match who:
            case "open":
                yield method, Need(is_open=True)
            case "reflection":
                yield method, Need(_CALLERS, is_reflection=True)
            case "any":
                yield method, Need(_CALLERS)
            case _:
                yield method, Need(frozenset(map(Role, who.split(","))), changes=fields)

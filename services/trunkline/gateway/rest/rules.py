"""Which HTTP request means which gRPC call, as google.api.http rules say it.

Names in braces are fields of the request; what else a request without a body needs comes as query parameters.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from trunkline.api.catalog.v1 import catalog_service_pb2
from trunkline.api.training.v1 import training_service_pb2
from trunkline.api.vision.v1 import gallery_service_pb2, vision_service_pb2
from trunkline.core.tasks import callable_tasks
from trunkline.serving.wire_calls import method_of

_FILES: Mapping[str, FileDescriptor] = {
    "VisionService": vision_service_pb2.DESCRIPTOR,
    "CatalogService": catalog_service_pb2.DESCRIPTOR,
    "GalleryService": gallery_service_pb2.DESCRIPTOR,
    "TrainingService": training_service_pb2.DESCRIPTOR,
}
# Verb, path, call; with a body where the verb is POST or PUT. Each task with a call has POST /v1/images:NAME beside.
_RULES = """
POST   /v1/images:compare                               VisionService.Compare
POST   /v1/images:explain                               VisionService.Explain
POST   /v1/images:analyze                               VisionService.Analyze
GET    /v1/heads                                        VisionService.ListHeads
GET    /v1/heads/{head:path}                            VisionService.GetHead
GET    /v1/models                                       CatalogService.ListModels
GET    /v1/models/{name}/versions                       CatalogService.ListModelVersions
GET    /v1/models/{name}/versions/{version}             CatalogService.GetModelVersion
POST   /v1/models/{name}/versions/{version}:promote     CatalogService.PromoteModelVersion
POST   /v1/models:promote                               CatalogService.PromoteModelVersions
POST   /v1/models/{name}:rollback                       CatalogService.RollbackModel
PUT    /v1/models/{name}/canary                         CatalogService.SetCanary
PUT    /v1/models/{name}/aliases/{alias}                CatalogService.SetAlias
DELETE /v1/models/{name}/aliases/{alias}                CatalogService.DeleteAlias
POST   /v1/galleries                                    GalleryService.CreateGallery
GET    /v1/galleries                                    GalleryService.ListGalleries
GET    /v1/galleries/{gallery}                          GalleryService.GetGallery
DELETE /v1/galleries/{gallery}                          GalleryService.DeleteGallery
POST   /v1/galleries/{gallery}:search                   GalleryService.SearchGallery
POST   /v1/galleries/{gallery}/images:delete            GalleryService.DeleteImages
POST   /v1/galleries/{gallery}:reembed                  GalleryService.ReembedGallery
POST   /v1/galleries/{gallery}:cancelReembedding        GalleryService.CancelReembedding
POST   /v1/trainingJobs                                 TrainingService.CreateTrainingJob
GET    /v1/trainingJobs                                 TrainingService.ListTrainingJobs
GET    /v1/trainingJobs/{job}                           TrainingService.GetTrainingJob
DELETE /v1/trainingJobs/{job}                           TrainingService.DeleteTrainingJob
POST   /v1/trainingJobs/{job}:cancel                    TrainingService.CancelTrainingJob
POST   /v1/heads:evaluate                               TrainingService.EvaluateHead
"""


@dataclass(frozen=True)
class Rule:
    """One line of the table. `path` is a path of Starlette."""

    verb: str
    path: str
    method: MethodDescriptor

    @property
    def call(self) -> str:
        """Path of the gRPC call."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def has_body(self) -> bool:
        return self.verb in ("POST", "PUT")

    @property
    def takes_picture(self) -> bool:
        """Whether the bytes of a picture can be the body."""
        return "image" in self.method.input_type.fields_by_name

    @property
    def request(self) -> Any:
        """Class of the request."""
        return message_factory.GetMessageClass(self.method.input_type)

    @property
    def response(self) -> Any:
        """Class of the response."""
        return message_factory.GetMessageClass(self.method.output_type)


def rules() -> Iterator[Rule]:
    """The table, longer paths first, since the first that fits a request is taken."""
    methods = (method_of(task) for task in callable_tasks())
    tasks = [f"POST /v1/images:{each.name.lower()} VisionService.{each.name}" for each in methods if each is not None]
    found = [line.split() for line in [*tasks, *_RULES.strip().splitlines()]]
    for verb, path, call in sorted(found, key=lambda parts: -len(parts[1])):
        service, _, method = call.partition(".")
        yield Rule(verb, path, _FILES[service].services_by_name[service].methods_by_name[method])

"""What can be said of a plan at once: importing torch takes seconds, so it is not imported here."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.catalog import current_catalog
from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.repository import Repository
from trunkline.core.terms import Terms, terms_of_licence
from trunkline.core.train_request import TrainRequest
from trunkline.training.cotrain.plan import Plan
from trunkline.training.data.accept import read_sound
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.holdout import held_out
from trunkline.training.data.read import read_dataset
from trunkline.training.data.wanted import wanted
from trunkline.training.early import require_trainable
from trunkline.training.move import versions_on

SAME = "same_top1_accuracy"  # metric of a kept classifier: how often its best class is that of its teacher


@dataclass(frozen=True)
class Prepared:
    """A plan with everything looked up. requests, datasets, teachers: by head, teachers where there are any.

    further: by kept head, its data sets.
    """

    plan: Plan
    backbone: Bundle[BackboneManifest]
    spec: PreprocessSpec
    requests: Mapping[str, TrainRequest]
    datasets: Mapping[str, Dataset]
    kept: Mapping[str, Bundle[HeadManifest]]
    further: Mapping[str, Sequence[Dataset]]
    teachers: Mapping[str, Bundle[HeadManifest]] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Name of a folder for what is done: another plan, or another backbone, gets another one."""
        data = {name: request.data for name, request in self.requests.items()}
        heads = [head.manifest.digest for head in (*self.kept.values(), *self.teachers.values())]
        models = [self.backbone.manifest.digest, *heads, self.spec.fingerprint]
        text = f"{self.plan.model_dump_json()}|{models}|{data}"
        return f"{self.plan.trunk}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def looked_ahead(plan: Plan, models: Path, data: Path) -> Prepared:
    """The plan with its data, whose tasks, heads, splits and backbone are there.

    models: the repository. data: folder from which paths of the plan begin. Raises InvalidRequestError,
    NotFoundError, DataInvalidError, DataForbiddenError, ModelInvalidError.
    """
    repository = Repository(models)
    backbone = repository.backbone(*plan.source)
    if backbone.manifest.quantized_from is not None:
        raise InvalidRequestError(
            f"backbone: {backbone.manifest.name} is in 8 bits: co-train {backbone.manifest.quantized_from.name}, "
            "then bring the trunk into 8 bits with trunkline backbone quantize"
        )
    spec = plan.spec or _default(repository, plan.like or "").manifest.preprocess
    teachers = {name: _default(repository, head.teacher) for name, head in plan.heads.items() if head.teacher}
    terms = _terms(plan, repository, teachers)
    requests, datasets = {}, {}
    for name, head in plan.heads.items():
        require_trainable(head.request.task)
        changed = {"data": str(data / head.request.data), "spec": spec, "terms": terms}
        requests[name] = head.request.model_copy(update=changed)
        datasets[name] = read_sound(requests[name])
        wanted(requests[name], datasets[name])
    kept = {name: _on(repository, name, backbone.manifest) for name in plan.keep}
    further = {name: [held_out(read_dataset(data / each)) for each in head.data] for name, head in plan.keep.items()}
    return Prepared(plan, backbone, spec, requests, datasets, kept, further, teachers)


def _terms(plan: Plan, repository: Repository, teachers: Mapping[str, Bundle[HeadManifest]]) -> Terms:
    requests = [head.request for head in plan.heads.values()]
    data = [request.terms or terms_of_licence(request.licence) for request in requests]
    asked = [repository.head(request.teacher) for request in requests if request.teacher is not None]
    return strictest([*data, *(head.manifest.terms for head in (*teachers.values(), *asked))])


def strictest(terms: Sequence[Terms | None]) -> Terms:
    """Of all data of a trunk, as each of its heads owes something to all of it. Where nobody has said: research."""
    if any(each in (None, "research") for each in terms):
        return "research"
    return "non-commercial" if "non-commercial" in terms else "any"


def _on(repository: Repository, name: str, backbone: BackboneManifest) -> Bundle[HeadManifest]:
    found = next(versions_on(repository, name, backbone), None)
    if found is None:
        repository.head(name)  # where there is no such head at all, this says so
        raise InvalidRequestError(f"keep.{name}: no version of it is on {backbone.label}, which the trunk begins as")
    return repository.head(name, found)


def _default(repository: Repository, name: str) -> Bundle[HeadManifest]:
    return repository.head(name, current_catalog(repository.root, name).default or None)

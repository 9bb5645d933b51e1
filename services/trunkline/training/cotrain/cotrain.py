"""From a plan to what is published: the trunk, then every head on it; all as new versions, or nothing.

What is done stays in a folder of its own, a model repository among it, so a run that is ended goes on from there.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest, model_digest, read_bundle
from trunkline.core.errors import InvalidRequestError
from trunkline.core.progress import Watcher
from trunkline.core.publishing import Built, free_version, renumber
from trunkline.core.repository import Repository
from trunkline.core.staging import staging
from trunkline.core.store import FolderStore, Publish
from trunkline.heads.learner import MapLearner, TaskLearner
from trunkline.serving.session import load_session
from trunkline.training import group
from trunkline.training.cotrain.cards import CURVES, trunk_card
from trunkline.training.cotrain.course import Course
from trunkline.training.cotrain.curves import draw_joint
from trunkline.training.cotrain.early import Prepared
from trunkline.training.cotrain.joint import Joint, read_checkpoint
from trunkline.training.cotrain.kept import KeptCourse, Teacher, different
from trunkline.training.cotrain.kept_head import KeptPictures, make_kept
from trunkline.training.cotrain.mapped import MappedCourse
from trunkline.training.cotrain.pooled import PooledCourse
from trunkline.training.cotrain.teacher import AnswerStore, require_teacher
from trunkline.training.cotrain.trunk import Trunk, exported, golden_of
from trunkline.training.data.accept import accept_data
from trunkline.training.data.wanted import wanted
from trunkline.training.export.folders import BundleContent
from trunkline.training.features import FeatureStore
from trunkline.training.fit import seed
from trunkline.training.learner import learner_class
from trunkline.training.modes.job import Job
from trunkline.training.move import versions_on
from trunkline.training.run import Places, train_head
from trunkline.training.taught import teacher_of

_MODELS, _JOINT, _LOCK = "models", "joint", ".lock"


@dataclass(frozen=True)
class Published:
    """The trunk and its heads, in their folders."""

    trunk: Path
    heads: tuple[Path, ...]


def cotrain(prepared: Prepared, places: Places, watcher: Watcher, publish: Publish | None = None) -> Published:
    """Train the trunk of a plan, make its heads on it, measure them through the serving path, and publish all.

    places.work: where this run goes on; prepared.folder is a name for it. publish: that of a store whose folder
    places.models is. Raises InvalidRequestError, DataInvalidError, ModelInvalidError as training does.
    """
    if group.size() > 1:
        raise InvalidRequestError("a plan is trained in one process: start it without torchrun")
    with _alone(places.work):
        run = _Run(prepared, places, watcher)
        trunk = run.trunk()
        heads = [*run.heads(trunk), *run.kept(trunk)]
        return _publish_all(trunk, heads, places.models, publish or FolderStore(places.models).publish)


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Two processes in one folder would write over each other's checkpoints. The lock ends with the process."""
    work.mkdir(parents=True, exist_ok=True)
    lock = os.open(work / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidRequestError(
                f"another process trains this plan in {work}: wait for it, or stop it"
            ) from error
        yield
    finally:
        os.close(lock)


@dataclass(frozen=True)
class _Run:
    prepared: Prepared
    places: Places
    watcher: Watcher

    @property
    def _own(self) -> Path:
        """The repository in which the trunk and its heads are made."""
        folder = self.places.work / _MODELS
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def trunk(self) -> Bundle[BackboneManifest]:
        """The trunk as a bundle, made now or before."""
        name, own = self.prepared.plan.trunk, Repository(self._own)
        if own.versions("backbone", name):
            return own.backbone(name)
        seed(self.prepared.plan.seed)
        net = Trunk(self.prepared.backbone, self.prepared.plan.trained_after)
        courses = [self._course(head, net) for head in self.prepared.requests]
        courses += [self._kept_course(head, net) for head in self.prepared.kept]
        joint = Joint(net, courses, self.prepared.plan, self.places.work / _JOINT, self.watcher)
        joint.fit()
        self._export(joint)
        return own.backbone(name)

    def heads(self, trunk: Bundle[BackboneManifest]) -> list[Bundle[HeadManifest]]:
        """Each planned head, learned on the finished trunk."""
        nets, own = self._nets(), Repository(self._own)
        for name, request in self.prepared.requests.items():
            if next(versions_on(own, name, trunk.manifest), None) is None:
                places = Places(self._own, self.places.cache, self._work_of(name), self.places.models)
                begin = nets.get(name) if self._is_mapped(name) else None
                train_head(request, places, self.watcher, begin=begin)
        return [own.head(name) for name in self.prepared.requests]

    def kept(self, trunk: Bundle[BackboneManifest]) -> list[Bundle[HeadManifest]]:
        """Each kept classifier on the finished trunk."""
        own = Repository(self._own)
        for name, head in self.prepared.kept.items():
            if next(versions_on(own, name, trunk.manifest), None) is None:
                pictures = self._pictures(name)
                make_kept(
                    self._teacher(head), trunk, self.prepared, pictures, self._nets()[name], self._own, self.places
                )
        return [own.head(name) for name in self.prepared.kept]

    def _course(self, name: str, trunk: Trunk) -> Course:
        planned, request = self.prepared.plan.heads[name], self.prepared.requests[name]
        progress = partial(self.watcher.stage, "data")
        dataset = accept_data(request, self._work_of(name), progress, self.prepared.datasets[name])
        self.watcher.data(dataset.remarks.total(), dataset.remarks.left_out.total())
        splits = wanted(request, dataset)
        learner = learner_class(request.task)(dataset.classes, dataset.target_names, request)
        learner.prepare(splits.train)
        backbone, models = self.prepared.backbone, Repository(self.places.models)
        store = FeatureStore(backbone, self.places.cache)
        teacher = teacher_of(request, dataset.classes, models)
        work = self._work_of(name)
        job = Job(request, learner, backbone, splits.train, splits.validation, store, self.watcher, work, teacher)
        other = self._teacher_of(name, dataset.classes, learner)
        if isinstance(learner, MapLearner):
            return MappedCourse(job, learner, trunk, planned.weight, planned.share, other)
        return PooledCourse(job, trunk, planned.weight, planned.share, other)

    def _teacher_of(self, name: str, classes: Sequence[str], learner: TaskLearner) -> AnswerStore | None:
        head = self.prepared.teachers.get(name)
        if head is None:
            return None
        spec = self.prepared.spec
        size = (spec.height, spec.width) if isinstance(learner, MapLearner) else None
        needed = classes if learner.keeps_classes else None
        require_teacher(self.prepared.requests[name], head, needed, size)
        of = head.manifest.backbone
        backbone = Repository(self.places.models).backbone(of.name, of.version)
        return AnswerStore(head, backbone, self.places.cache)

    def _kept_course(self, name: str, trunk: Trunk) -> Course:
        planned, pictures = self.prepared.plan.keep[name], self._pictures(name)
        measured = [sample for group_ in pictures.measured.values() for sample in group_]
        return KeptCourse(
            self._teacher(self.prepared.kept[name]),
            trunk,
            self.prepared.spec,
            pictures.learned,
            measured[:: max(1, len(measured) // 200)],
            planned.weight,
            planned.share,
        )

    def _teacher(self, head: Bundle[HeadManifest]) -> Teacher:
        return Teacher(head, FeatureStore(self.prepared.backbone, self.places.cache), self.watcher)

    def _pictures(self, name: str) -> KeptPictures:
        """All pictures that are learned from; those of its own data sets for testing, or else those of the heads."""
        further = self.prepared.further[name]
        own = {
            head: wanted(request, self.prepared.datasets[head]) for head, request in self.prepared.requests.items()
        }
        measured = {dataset.root.name: dataset.of_split("test") for dataset in further}
        if not any(measured.values()):
            measured = {self.prepared.datasets[head].root.name: tuple(splits.test) for head, splits in own.items()}
        tests = [sample for samples in measured.values() for sample in samples]
        tests += [sample for splits in own.values() for sample in splits.test]
        learned = [sample for splits in own.values() for sample in splits.train]
        learned += [sample for dataset in further for sample in dataset.of_split("train", "val")]
        return KeptPictures(different(learned, tests), {name: each for name, each in measured.items() if each})

    def _is_mapped(self, name: str) -> bool:
        return issubclass(learner_class(self.prepared.requests[name].task), MapLearner)

    def _work_of(self, name: str) -> Path:
        return self.places.work / "heads" / name

    def _nets(self) -> Mapping[str, Mapping[str, Tensor]]:
        found: Mapping[str, Mapping[str, Tensor]] = read_checkpoint(self.places.work / _JOINT)["nets"]
        return found

    def _export(self, joint: Joint) -> None:
        plan, source = self.prepared.plan, self.prepared.backbone
        self.watcher.stage("export", 0, 1)
        version = free_version(self.places.models, "backbone", plan.trunk)
        checked = exported(joint.trunk, source, f"{plan.trunk}/{version}")
        manifest = _manifest(self.prepared, checked.model, version)
        card = trunk_card(
            manifest, self.prepared, joint.curves, checked.parity, checked.batch_difference, joint.seconds
        )
        content = BundleContent(checked.model, manifest, golden_of(checked.session, source), card)
        with staging(self._own) as aside:
            folder = content.write(aside / "backbone")
            draw_joint(joint.curves, folder / CURVES)
            load_session(read_bundle(folder))
            FolderStore(self._own).publish([(folder, manifest)])
        self.watcher.stage("export", 1, 1)


def _manifest(prepared: Prepared, model: bytes, version: int) -> BackboneManifest:
    source, spec = prepared.backbone.manifest, prepared.spec
    learned = "; ".join(
        f"{prepared.datasets[name].root.name} ({request.licence})" for name, request in prepared.requests.items()
    )
    further = sorted({dataset.root.name for each in prepared.further.values() for dataset in each})
    beside = f"; pictures without labels: {', '.join(further)}" if further else ""
    origin = source.origin.model_copy(
        update={
            "source": f"{source.origin.source}; fine-tuned by trunkline cotrain",
            "data": f"{source.origin.data}; {learned}{beside}",
        }
    )
    changed = {
        "name": prepared.plan.trunk,
        "version": version,
        "digest": model_digest(model),
        "preprocess": spec,
        "preprocess_fingerprint": spec.fingerprint,
        "origin": origin,
    }
    return source.model_copy(update=changed)


def _publish_all(
    trunk: Bundle[BackboneManifest], heads: Sequence[Bundle[HeadManifest]], models: Path, publish: Publish
) -> Published:
    """Copies, so that what is published with an error may be published again."""
    name, version = trunk.manifest.name, trunk.manifest.version
    if version in Repository(models).versions("backbone", name):
        there = Repository(models).backbone(name, version).manifest.digest == trunk.manifest.digest
        why = "this trunk, by an earlier run" if there else "another one, published meanwhile"
        raise InvalidRequestError(
            f"backbone {name} version {version} is {why}: remove {trunk.path.parents[3]} to train the plan anew"
        )
    with staging(models) as aside:
        built: list[Built] = []
        shutil.copytree(trunk.path, aside / "backbone")
        built.append((aside / "backbone", trunk.manifest))
        for head in heads:
            folder, manifest = aside / f"head-{head.manifest.name}", head.manifest
            shutil.copytree(head.path, folder)
            built.append((folder, renumber(folder, manifest, free_version(models, "head", manifest.name))))
        found = publish(built)
    return Published(found[0], tuple(found[1:]))

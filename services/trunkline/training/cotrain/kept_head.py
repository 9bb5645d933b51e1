"""A kept classifier as a head of the finished trunk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from trunkline.core.bundle import BackboneManifest, BackboneRef, Bundle, HeadManifest, model_digest, read_bundle
from trunkline.core.evaluation import Evaluation, evaluation_digest
from trunkline.core.publishing import free_version
from trunkline.core.staging import staging
from trunkline.core.store import FolderStore
from trunkline.serving.session import OnnxSession, load_session
from trunkline.training.cotrain.cards import kept_card
from trunkline.training.cotrain.early import SAME, Prepared
from trunkline.training.cotrain.kept import Classifier, Teacher
from trunkline.training.cotrain.refit import refitted
from trunkline.training.data.dataset import Sample
from trunkline.training.export.checks import check_classifier
from trunkline.training.export.classifier import Classifier as Exported
from trunkline.training.export.folders import BundleContent
from trunkline.training.export.graph import classifier_graph
from trunkline.training.export.network import POOLED
from trunkline.training.features import FeatureStore, Recipe
from trunkline.training.run import Places

_MEASURED = 1000  # pictures of a data set, evenly from all of them


@dataclass(frozen=True)
class KeptPictures:
    """learned: without labels. measured: by the name of their data set; none is among the learned ones."""

    learned: Sequence[Sample]
    measured: Mapping[str, Sequence[Sample]]


def make_kept(
    teacher: Teacher,
    trunk: Bundle[BackboneManifest],
    prepared: Prepared,
    pictures: KeptPictures,
    weights: Mapping[str, Tensor],
    models: Path,
    places: Places,
) -> None:
    """Publish it into the folder `models`, in which the trunk is. weights: of the joint training.

    Raises ModelInvalidError where ONNX Runtime computes something else than torch.
    """
    net, seen = Classifier(teacher.head), _Seen(trunk, prepared, places, teacher)
    net.load_state_dict(weights)
    refitted(net, seen.vectors(pictures.learned), teacher.answers(pictures.learned)[1][0])
    exported = Exported(net)
    model = classifier_graph(exported, trunk_width(trunk))
    version = free_version(models, "head", teacher.head.manifest.name)
    session = OnnxSession(model, f"{teacher.head.manifest.name}/{version}")
    same, golden = {}, np.zeros((0, 0), np.float32)
    chosen = {name: _evenly(samples) for name, samples in pictures.measured.items()}
    for name, samples in chosen.items():
        golden = seen.vectors(samples)
        check_classifier(session, exported, golden[:4])
        found = session.run({POOLED: golden})["logits"].argmax(axis=1)
        same[name] = (float((found == teacher.answers(samples)[1][0].argmax(axis=1)).mean()), len(samples))
    manifest = _manifest(teacher.head.manifest, trunk.manifest, prepared, model, version, same, chosen)
    card = kept_card(manifest, teacher.head.manifest, same, len(pictures.learned))
    vectors = ({POOLED: golden[:1]}, session.run({POOLED: golden[:1]}))
    content = BundleContent(model, manifest, vectors, card, teacher.head.labels)
    with staging(models) as aside:
        folder = content.write(aside / "head")
        load_session(read_bundle(folder))
        FolderStore(models).publish([(folder, manifest)])


@dataclass(frozen=True)
class _Seen:
    """Pictures as the trunk sees them."""

    trunk: Bundle[BackboneManifest]
    prepared: Prepared
    places: Places
    teacher: Teacher

    def vectors(self, samples: Sequence[Sample]) -> np.ndarray:
        """float32 (N, C)"""
        store = FeatureStore(self.trunk, self.places.cache)
        progress = self.teacher.watcher.stage
        stored = store.stored(
            samples, Recipe((POOLED,), self.prepared.spec), 1, lambda done, total: progress("features", done, total)
        )
        return np.stack([item.vector() for item in stored[0]])


def trunk_width(trunk: Bundle[BackboneManifest]) -> int:
    """Channels of the pooled vector."""
    return next(feature.channels for feature in trunk.manifest.features if feature.name == POOLED)


def _evenly(samples: Sequence[Sample]) -> Sequence[Sample]:
    return samples[:: max(1, len(samples) // _MEASURED)]


def _manifest(
    teacher: HeadManifest,
    trunk: BackboneManifest,
    prepared: Prepared,
    model: bytes,
    version: int,
    same: Mapping[str, tuple[float, int]],
    measured: Mapping[str, Sequence[Sample]],
) -> HeadManifest:
    counted = sum(count for _, count in same.values())
    share = sum(found * count for found, count in same.values()) / counted
    samples = [sample for each in measured.values() for sample in each]
    digest = evaluation_digest((sample.name, sample.encoded()) for sample in samples)
    origin = teacher.origin.model_copy(update={"source": f"{teacher.origin.source}; held by trunkline cotrain"})
    changed = {
        "version": version,
        "digest": model_digest(model),
        "backbone": BackboneRef(name=trunk.name, version=trunk.version, digest=trunk.digest),
        "preprocess": prepared.spec,
        "preprocess_fingerprint": prepared.spec.fingerprint,
        "mode": "features",
        "metrics": {SAME: share},
        "evaluation": Evaluation(data="+".join(measured), split="test", count=counted, digest=digest),
        "origin": origin,
        "terms": next(iter(prepared.requests.values())).terms,
        "variants": (),  # they are nets of the teacher's backbone
    }
    return teacher.model_copy(update=changed)

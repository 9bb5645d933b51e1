"""One version of a head, from its folder to something that answers."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trunkline.core.bundle import BackboneRef, Bundle, HeadManifest, variant_bundle
from trunkline.core.errors import (
    BackboneMismatchError,
    ConfigurationError,
    ModelInvalidError,
    TermsError,
    TrunklineError,
)
from trunkline.core.exchange import HeadInfo, local_arrays, select
from trunkline.core.head import Arrays, TaskHead
from trunkline.core.pace import Pace
from trunkline.core.preprocess import Frame, shared_spec
from trunkline.core.results import Result
from trunkline.core.terms import allows_commerce, bar_text, terms_text
from trunkline.heads.discovery import head_class
from trunkline.heads.runs import Runs
from trunkline.serving.cores import Cores
from trunkline.serving.execution import CPU, Execution
from trunkline.serving.session import OnnxSession, check_golden, load_session

# Has the backbone of a head, by the head's name, or raises why it cannot be had.
Need = Callable[[str, BackboneRef], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedHead:
    """A version that can answer. variants: itself under further specs, by the fingerprint of each."""

    info: HeadInfo
    backbone: BackboneRef
    runs: Runs
    decoder: TaskHead
    pace: Pace = field(default_factory=Pace, compare=False)
    variants: "Mapping[str, LoadedHead]" = field(default_factory=dict)

    def answer(self, features: Arrays, frame: Frame, params: Mapping[str, Any], cores: Cores | None = None) -> Result:
        """Run the model on the features of one picture and decode. Raises InvalidRequestError.

        cores: within their `entered`, where a slow head may take all cores.
        """
        started_at = time.perf_counter()
        inputs = local_arrays(select(features, [name for name in self.runs.inputs if name in features]))
        result = self.decoder.decode(self.runs.run(inputs, cores), frame, params)
        self.pace.ran(params, time.perf_counter() - started_at)
        return result


@dataclass(frozen=True)
class FaultyHead:
    """A version that could not be loaded; it costs its own questions and no others.

    `info` is None where its manifest could not be read.
    """

    info: HeadInfo | None
    error: TrunklineError


def load_head(
    bundle: Bundle[HeadManifest],
    need: Need | None = None,
    execution: Execution = CPU,
    *,
    commercial: bool = False,
) -> LoadedHead | FaultyHead:
    """Load a version and check its golden outputs, which warms it up. With `need`, its backbone must be had first.

    commercial: whether only what may be used commercially is loaded.
    Raises ConfigurationError where a provider cannot be had: that is no fault of the head.
    """
    label = f"{bundle.manifest.name}/{bundle.manifest.version}"
    if commercial and not allows_commerce(bundle.manifest.terms):
        return _barred(bundle)
    try:
        decoder = head_class(bundle.manifest.task)(bundle)
        if need is not None:
            need(bundle.manifest.name, bundle.manifest.backbone)
        session = load_session(bundle, execution)
        info = _info(bundle)
        runs = Runs(session, bundle, execution)
        variants = {each.info.variant: each for each in _variants(bundle, session, runs, execution)}
    except ConfigurationError:
        raise
    except TrunklineError as error:
        _log.error("head %s cannot be served: %s", label, error)
        return _faulty(bundle, error)
    except Exception:  # the code of a task, on a bundle that nobody has seen before
        _log.exception("head %s cannot be served", label)
        return _faulty(bundle, ModelInvalidError(f"{label} cannot be loaded: see the log of the head service"))
    info = replace(info, variants=tuple(each.info for each in variants.values()))
    return LoadedHead(info, bundle.manifest.backbone, runs, decoder, variants=variants)


def _variants(
    bundle: Bundle[HeadManifest], session: OnnxSession, runs: Runs, execution: Execution
) -> Iterator[LoadedHead]:
    """Those that hold; each of the others is left out, with an error in the log, and costs the head nothing else."""
    for variant in bundle.manifest.variants:
        own, own_runs = variant_bundle(bundle, variant), runs
        try:
            decoder = head_class(own.manifest.task)(own)
            if variant.digest is None:
                check_golden(session, own)
            else:
                own_runs = Runs(load_session(own, execution), own, execution)
        except ModelInvalidError as error:
            fingerprint = variant.preprocess_fingerprint
            _log.error("%s is not served under spec %s: %s", session.name, fingerprint, error)
            continue
        lost = variant.points_lost(bundle.manifest.metrics)
        info = replace(_info(own), variant=variant.preprocess_fingerprint, points_lost=lost)
        yield LoadedHead(info, own.manifest.backbone, own_runs, decoder)


def check_backbone(head: HeadInfo, digest: str) -> None:
    """Raises BackboneMismatchError, both digests named, where the head was trained on another backbone."""
    if head.backbone_digest != digest:
        raise BackboneMismatchError.between(head.name, head.backbone, head.backbone_digest, digest)


def _barred(bundle: Bundle[HeadManifest]) -> FaultyHead:
    terms = bundle.manifest.terms
    found = _faulty(bundle, TermsError.barred(bundle.manifest.name, terms_text(terms)))
    return (
        found if found.info is None else replace(found, info=replace(found.info, fault=bar_text(terms), barred=True))
    )


def _faulty(bundle: Bundle[HeadManifest], error: TrunklineError) -> FaultyHead:
    try:
        return FaultyHead(_info(bundle, fault=error.message), error)
    except ModelInvalidError:  # its labels are what cannot be read
        return FaultyHead(None, error)


def _info(bundle: Bundle[HeadManifest], fault: str = "") -> HeadInfo:
    manifest = bundle.manifest
    return HeadInfo(
        name=manifest.name,
        version=str(manifest.version),
        task=manifest.task,
        digest=manifest.digest,
        backbone=manifest.backbone.label,
        backbone_digest=manifest.backbone.digest,
        features=manifest.features,
        spec=shared_spec(manifest.preprocess),
        mode=manifest.mode,
        labels=bundle.labels,
        fault=fault,
        terms=manifest.terms,
    )

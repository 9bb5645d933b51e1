"""Decode once, run the backbone once, give out the features that were asked for."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from trunkline.backbone.batching import Batcher, BatchStats, batches_help
from trunkline.backbone.maps import PooledMaps
from trunkline.backbone.quick import with_answers
from trunkline.core.bundle import BackboneManifest, Bundle
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE, BackboneInfo, FeatureRequest, Features
from trunkline.core.explaining import MAP
from trunkline.core.images import EncodedImage, ImageLimits
from trunkline.core.preprocess import Frame, Pixels, PreprocessSpec, preprocess
from trunkline.core.weight import decode_weight
from trunkline.serving.device import DeviceArrays
from trunkline.serving.execution import CPU, Execution
from trunkline.serving.session import OnnxSession, load_session, widen_session
from trunkline.serving.settings import Batching
from trunkline.serving.wide_choice import WideChoice
from trunkline.serving.workers import Priority, WorkerPool

_SHOWN = 200  # characters of a name that is not known


@dataclass(frozen=True)
class _Decoded:
    pixels: Pixels  # (1, H, W, C)
    frame: Frame
    decode_ms: float


class BackboneEngine:
    """The FeatureSource of one backbone: a pass on the workers, alone or in a batch."""

    def __init__(
        self,
        info: BackboneInfo,
        session: OnnxSession,
        workers: WorkerPool,
        limits: ImageLimits,
        batcher: Batcher | None = None,
        maps: PooledMaps | None = None,
    ) -> None:
        """maps: those whose means the vectors are; None where they cannot be asked for."""
        self._info = info
        self._session = session
        self._workers = workers
        self._limits = limits
        self._wide_choice = WideChoice()
        self._maps = maps
        self._known = {IMAGE, *(feature.name for feature in info.features)}
        self.batcher = batcher

    @classmethod
    def load(
        cls,
        bundle: Bundle[BackboneManifest],
        workers: WorkerPool,
        limits: ImageLimits,
        execution: Execution = CPU,
        *,
        batching: Batching | None = None,
        batches: BatchStats | None = None,
    ) -> Self:
        """With `batching`, pictures share passes where that says so, counted in `batches`.

        Raises ModelInvalidError where the bundle is damaged or its golden outputs do not hold, ConfigurationError
        where a provider cannot be had.
        """
        manifest = bundle.manifest
        info = BackboneInfo(manifest.name, str(manifest.version), manifest.digest, manifest.features)
        session = load_session(bundle, execution)
        if execution.wide_threads > 1:
            # Beside the rest of the start. No daemon: one in native code at an interpreter's end aborts it.
            threading.Thread(target=widen_session, args=(session, bundle), name="widen", daemon=False).start()
        batcher = _batcher(session, manifest.preprocess, workers, batching) if batching else None
        if batcher is not None and batches is not None:
            batcher.stats = batches
        return cls(info, session, workers, limits, batcher, PooledMaps(bundle, execution))

    @property
    def info(self) -> BackboneInfo:
        return self._info

    async def describe(self) -> list[BackboneInfo]:
        return [self._info]

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        """At most one decode and one pass.

        Raises InvalidRequestError for unknown features, InvalidImageError and ImageTooLargeError for the
        picture, QueueFullError and DeadlineError.
        """
        maps = self._check(request)
        wanted = [name for name in request.features if name != IMAGE]
        weight = decode_weight(request.image, request.spec)
        if self.batcher is not None and wanted and maps is None and request.mask is None:
            return await self._in_batch(self.batcher, request, wanted, timeout_s, weight)
        done, queue_ms = await self._workers.run(
            lambda: self._alone(request, wanted, weight, maps),
            Priority.BACKBONE,
            timeout_s,
            request.required,
            weight,
        )
        return done.after(queue_ms)

    def _check(self, request: FeatureRequest) -> PooledMaps | None:
        """What gives the features where maps of vectors are among them; None where the usual pass does."""
        unknown = [name for name in request.features if name not in self._known]
        maps = self._maps if unknown else None
        if maps is not None:
            unknown = [
                name for name in unknown if not name.endswith(MAP) or name.removesuffix(MAP) not in self._known
            ]
        if unknown or not request.features:
            wanted = repr(unknown[0][:_SHOWN]) if unknown else "of no name"
            raise InvalidRequestError(
                f"backbone {self._info.name} has no feature {wanted}; it has {sorted(self._known)}"
            )
        if request.spec.colour != "RGB" and set(request.features) != {IMAGE}:
            raise InvalidRequestError(
                f"the backbone takes RGB; a spec with colour {request.spec.colour!r} is for heads on 'image' alone"
            )
        return maps

    def _alone(
        self, request: FeatureRequest, wanted: Sequence[str], weight: int, maps: PooledMaps | None
    ) -> Features:
        decoded = self._decode(request, weight)
        if wanted:
            self._workers.give_way()
        started_at = time.perf_counter()
        arrays = self._pass(decoded.pixels, wanted, maps) if wanted else {}
        backbone_ms = (time.perf_counter() - started_at) * 1000 if wanted else 0.0
        return with_answers(self._features(request, decoded, arrays, backbone_ms), request.quick)

    def _pass(self, pixels: Pixels, wanted: Sequence[str], maps: PooledMaps | None) -> Mapping[str, np.ndarray]:
        if maps is not None:
            return maps.run(pixels, wanted)
        if not self._session.can_be_wide:
            return self._session.run_in_place({IMAGE: pixels}, wanted)
        with self._workers.cores.all_cores(wanted=self._wide_choice.choose()) as wide:
            started_at = time.perf_counter()
            arrays = self._session.run_in_place({IMAGE: pixels}, wanted, wide=wide)
            self._wide_choice.ran(wide=wide, took_s=time.perf_counter() - started_at, pixels=pixels.size)
        return arrays

    async def _in_batch(
        self, batcher: Batcher, request: FeatureRequest, wanted: Sequence[str], timeout_s: float | None, weight: int
    ) -> Features:
        started_at = time.perf_counter()
        with batcher.place():
            decoded, queue_ms = await self._workers.run(
                lambda: self._decode(request, weight),
                Priority.BACKBONE,
                timeout_s,
                request.required,
                weight,
            )
            left_s = None if timeout_s is None else timeout_s - (time.perf_counter() - started_at)
            done = await batcher.run(decoded.pixels, wanted, left_s, required=request.required)
        found = self._features(request, decoded, done.arrays, done.backbone_ms)
        return found.after(queue_ms + done.queue_ms)

    def _decode(self, request: FeatureRequest, weight: int) -> _Decoded:
        started_at = time.perf_counter()

        def decode() -> tuple[Pixels, Frame]:
            return preprocess(EncodedImage(request.image, self._limits, weight), request.spec)

        shared = request.shared
        pixels, frame = decode() if shared is None else shared.decoded(request.spec, decode)  # (1, H, W, C)
        if request.mask is not None:
            pixels = request.mask.applied(pixels)
        return _Decoded(pixels, frame, (time.perf_counter() - started_at) * 1000)

    def _features(
        self, request: FeatureRequest, decoded: _Decoded, arrays: Mapping[str, np.ndarray], backbone_ms: float
    ) -> Features:
        if IMAGE in request.features:
            own = {IMAGE: decoded.pixels}
            arrays = arrays.merged(own) if isinstance(arrays, DeviceArrays) else {**arrays, **own}
        return Features(
            arrays=arrays,
            frame=decoded.frame,
            backbone_digest=self._info.digest,
            queue_ms=0.0,
            decode_ms=decoded.decode_ms,
            backbone_ms=backbone_ms,
        )


def _batcher(session: OnnxSession, spec: PreprocessSpec, workers: WorkerPool, batching: Batching) -> Batcher | None:
    """None where pictures are better run one by one. On a CPU they are: see README, so nothing is measured there."""

    def run(pixels: Pixels, features: Sequence[str]) -> Mapping[str, np.ndarray]:
        return session.run_in_place({IMAGE: pixels}, features)

    if batching.mode == "off" or (batching.mode == "auto" and session.providers[0] == "CPUExecutionProvider"):
        return None
    pixels = np.zeros((1, spec.height, spec.width, 3), np.uint8)  # (1, H, W, C)
    if batching.mode == "auto" and not batches_help(run, pixels, session.outputs, batching.max_batch):
        return None
    return Batcher(run, workers, batching.max_batch, batching.wait_s, batching.max_held)

"""Decode once, run the backbone once, give out the features that were asked for."""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import numpy as np

from trunkline.core.bundle import BackboneManifest, Bundle
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE, BackboneInfo, FeatureRequest, Features
from trunkline.core.images import EncodedImage, ImageLimits
from trunkline.core.preprocess import preprocess
from trunkline.serving.device import DeviceArrays
from trunkline.serving.execution import CPU, Execution
from trunkline.serving.session import OnnxSession, load_session, widen_session
from trunkline.serving.width import Width
from trunkline.serving.workers import Priority, WorkerPool


class BackboneEngine:
    """The FeatureSource of the process that has the model."""

    def __init__(self, info: BackboneInfo, session: OnnxSession, workers: WorkerPool, limits: ImageLimits) -> None:
        self._info = info
        self._session = session
        self._workers = workers
        self._limits = limits
        self._width = Width()
        self._known = {IMAGE, *(feature.name for feature in info.features)}

    @classmethod
    def load(
        cls,
        bundle: Bundle[BackboneManifest],
        workers: WorkerPool,
        limits: ImageLimits,
        execution: Execution = CPU,
    ) -> Self:
        """Raises ModelInvalidError where the bundle is damaged or its golden outputs do not hold.

        ConfigurationError where a provider cannot be had.
        """
        manifest = bundle.manifest
        info = BackboneInfo(manifest.name, str(manifest.version), manifest.digest, manifest.features)
        session = load_session(bundle, execution)
        if execution.wide_threads > 1:
            # Beside the rest of the start. No daemon: a process that ends waits for the native code.
            threading.Thread(target=widen_session, args=(session, bundle), name="widen").start()
        return cls(info, session, workers, limits)

    @property
    def info(self) -> BackboneInfo:
        return self._info

    async def describe(self) -> BackboneInfo:
        return self._info

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        """One decode and at most one pass.

        Raises InvalidRequestError for unknown features, InvalidImageError and ImageTooLargeError for the
        picture, QueueFullError and DeadlineError.
        """
        self._check(request)
        done, queue_ms = await self._workers.run(
            lambda: self._compute(request), Priority.BACKBONE, timeout_s=timeout_s
        )
        return replace(done, queue_ms=queue_ms)

    def _check(self, request: FeatureRequest) -> None:
        unknown = [name for name in request.features if name not in self._known]
        if unknown or not request.features:
            raise InvalidRequestError(
                f"backbone {self._info.name} has no feature {unknown or 'of no name'}; it has {sorted(self._known)}"
            )
        if request.spec.colour != "RGB" and set(request.features) != {IMAGE}:
            raise InvalidRequestError(
                f"the backbone takes RGB; a spec with colour {request.spec.colour!r} is for heads on 'image' alone"
            )

    def _compute(self, request: FeatureRequest) -> Features:
        started_at = time.perf_counter()
        pixels, frame = preprocess(EncodedImage(request.image, self._limits), request.spec)  # (1, H, W, C)
        decoded_at = time.perf_counter()
        wanted = [name for name in request.features if name != IMAGE]
        arrays = self._pass(pixels, wanted) if wanted else {}
        ran_at = time.perf_counter()
        if IMAGE in request.features:
            own = {IMAGE: pixels}
            arrays = arrays.merged(own) if isinstance(arrays, DeviceArrays) else {**arrays, **own}
        return Features(
            arrays=arrays,
            frame=frame,
            backbone_digest=self._info.digest,
            queue_ms=0.0,
            decode_ms=(decoded_at - started_at) * 1000,
            backbone_ms=(ran_at - decoded_at) * 1000 if wanted else 0.0,
        )

    def _pass(self, pixels: np.ndarray, wanted: list[str]) -> Mapping[str, np.ndarray]:
        if not self._session.can_be_wide:
            return self._session.run_in_place({IMAGE: pixels}, wanted)
        with self._workers.turnstile.all_cores(wanted=self._width.choose()) as wide:
            started_at = time.perf_counter()
            arrays = self._session.run_in_place({IMAGE: pixels}, wanted, wide=wide)
            self._width.ran(wide=wide, took_s=time.perf_counter() - started_at, pixels=pixels.size)
        return arrays

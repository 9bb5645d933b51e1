"""The ceiling: bare ONNX Runtime in a loop with a thread for each core, and no service around it."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from benchmarks.peers.model import FullModel
from trunkline.core.cpu import available_cores
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import Frame, PreprocessSpec, preprocess
from trunkline.core.repository import Repository
from trunkline.heads.discovery import head_class
from trunkline.serving.session import load_session


class Bare(Protocol):
    """Answers one picture, completely."""

    def answer(self, item: bytes) -> None: ...


class SharedLoop:
    """One decode, one backbone pass for each preprocessing spec, all heads: what the service does, without it."""

    def __init__(self, models: Path, heads: Sequence[str]) -> None:
        repository = Repository(models)
        bundles = [repository.head(name) for name in heads]
        self._backbone = load_session(repository.backbone(bundles[0].manifest.backbone.name))
        self._heads = [(each.manifest, load_session(each), head_class(each.manifest.task)(each)) for each in bundles]
        self._passes = {
            spec: {name for m, _, _ in self._heads if m.preprocess == spec for name in m.features}
            for spec in dict.fromkeys(manifest.preprocess for manifest, _, _ in self._heads)
        }

    def answer(self, item: bytes) -> None:
        found = {}
        for spec, names in self._passes.items():
            pixels, frame = self.pixels(item, spec)
            found[spec] = self._features(pixels, names), frame
        for manifest, session, head in self._heads:
            features, frame = found[manifest.preprocess]
            head.decode(session.run({name: features[name] for name in session.inputs}), frame, {})

    def pixels(self, item: bytes, spec: PreprocessSpec) -> tuple[np.ndarray, Frame]:
        """uint8 (1, H, W, C), and the frame."""
        return preprocess(EncodedImage(item), spec)

    def _features(self, pixels: np.ndarray, names: set[str]) -> dict[str, np.ndarray]:
        wanted = sorted(names - {IMAGE})
        return {IMAGE: pixels, **(self._backbone.run({IMAGE: pixels}, wanted) if wanted else {})}


class PixelLoop(SharedLoop):
    """Backbone and heads on pixels that were preprocessed before."""

    def answer(self, item: bytes) -> None:
        pixels = np.frombuffer(item, np.uint8).reshape(1, 224, 224, 3)
        frame = Frame(224, 224, 1.0, 0.0, 1.0, 0.0, 224, 224)
        features = self._features(pixels, {"pooled"})
        for _, session, head in self._heads:
            head.decode(session.run({"pooled": features["pooled"]}), frame, {})


class FullLoop:
    """Each model whole, with Pillow's full decode and a pass of its own: what the other servers do, without them."""

    def __init__(self, folder: Path, heads: Sequence[str]) -> None:
        self._models = [FullModel(folder / name) for name in heads]

    def answer(self, item: bytes) -> None:
        for model in self._models:
            model.classify_jpeg(item)


class Rate(NamedTuple):
    """What a loop reached."""

    per_second: float
    cpu_ms: float  # for each answer


def rate(answer: Callable[[bytes], None], items: Sequence[bytes], seconds: float) -> Rate:
    """Run the loop on all cores for about `seconds`."""
    turn, lock = itertools.cycle(items), threading.Lock()
    counts: list[int] = []
    cpu_before, started_at = time.process_time(), time.perf_counter()

    def loop() -> None:
        done = 0
        while time.perf_counter() < started_at + seconds:
            with lock:
                item = next(turn)
            answer(item)
            done += 1
        counts.append(done)

    threads = [threading.Thread(target=loop) for _ in range(available_cores())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s, answers = time.perf_counter() - started_at, sum(counts)
    return Rate(answers / took_s, (time.process_time() - cpu_before) * 1000 / answers)

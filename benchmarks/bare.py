"""The ceiling: bare ONNX Runtime in a loop, with the same decode, the same models, and a thread for each core."""

import itertools
import threading
import time
from pathlib import Path

from trunkline.core.cpu import available_cores
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.heads.classification.head import Head
from trunkline.serving.session import load_session

MODELS = Path(__file__).parents[1] / "models"


class BareLoop:
    """Decode, backbone, head, labels: what the service does for a picture, without the service."""

    def __init__(self) -> None:
        repository = Repository(MODELS)
        head = repository.head("imagenet")
        self._spec = head.manifest.preprocess
        self._backbone = load_session(repository.backbone(head.manifest.backbone.name))
        self._head, self._decoder = load_session(head), Head(head)

    def answer(self, data: bytes) -> None:
        pixels, frame = preprocess(EncodedImage(data), self._spec)  # (1, 224, 224, 3)
        pooled = self._backbone.run({"image": pixels}, ["pooled"])
        self._decoder.decode(self._head.run(pooled), frame, {})

    def throughput(self, pictures: list[bytes], seconds: float) -> float:
        """Pictures a second."""
        turn = itertools.cycle(pictures)
        counts: list[int] = []
        ends_at = time.perf_counter() + seconds

        def loop() -> None:
            done = 0
            while time.perf_counter() < ends_at:
                self.answer(next(turn))
                done += 1
            counts.append(done)

        started_at = time.perf_counter()
        threads = [threading.Thread(target=loop) for _ in range(available_cores())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started_at)

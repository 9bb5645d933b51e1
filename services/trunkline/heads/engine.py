"""Loads heads and answers for them: one process' HeadRunner."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import BackboneMismatchError, ModelInvalidError, NotFoundError, TrunklineError
from trunkline.core.exchange import HeadAnswer, HeadInfo, HeadQuestion
from trunkline.core.head import Arrays, TaskHead
from trunkline.core.preprocess import Frame
from trunkline.core.repository import Repository
from trunkline.core.results import Result
from trunkline.heads.discovery import head_class
from trunkline.serving.session import OnnxSession, load_session
from trunkline.serving.workers import Priority, WorkerPool

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedHead:
    """A head that can answer."""

    info: HeadInfo
    session: OnnxSession
    decoder: TaskHead

    def answer(self, features: Arrays, frame: Frame, params: Mapping[str, Any]) -> Result:
        """Run the model on the features of one picture and decode. Raises InvalidRequestError."""
        inputs = {name: features[name] for name in self.session.inputs if name in features}
        return self.decoder.decode(self.session.run(inputs), frame, params)


@dataclass(frozen=True)
class FaultyHead:
    """A head that could not be loaded; it costs its own questions and no others."""

    info: HeadInfo
    error: TrunklineError


class HeadEngine:
    """All heads of a process."""

    def __init__(self, heads: Mapping[str, LoadedHead | FaultyHead], workers: WorkerPool) -> None:
        self._heads = dict(sorted(heads.items()))
        self._workers = workers

    @classmethod
    def load(
        cls,
        repository: Repository,
        workers: WorkerPool,
        *,
        names: Sequence[str] = (),
        task: str | None = None,
        backbone_digest: str | None = None,
    ) -> Self:
        """Load the heads of these names (all where empty), only those of `task` where one is given.

        With `backbone_digest`, heads of another backbone are refused here; without, when they are first asked.
        A head that cannot be loaded is kept with its fault. Raises NotFoundError for a name that does not exist.
        """
        heads: dict[str, LoadedHead | FaultyHead] = {}
        for name in names or repository.names("head"):
            try:
                bundle = repository.head(name)
            except ModelInvalidError as error:
                _log.error("head %s is left out: %s", name, error)
                continue
            if task in (None, bundle.manifest.task):
                heads[name] = _load(bundle, backbone_digest)
        return cls(heads, workers)

    @property
    def ready_names(self) -> list[str]:
        return [name for name, head in self._heads.items() if isinstance(head, LoadedHead)]

    async def describe(self) -> list[HeadInfo]:
        return [head.info for head in self._heads.values()]

    async def predict(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        """Raises NotFoundError, ModelInvalidError, BackboneMismatchError, InvalidRequestError, QueueFullError."""
        head = self._usable(question)
        started_at = time.perf_counter()
        result, _ = await self._workers.run(
            lambda: head.answer(question.features, question.frame, question.params),
            Priority.HEAD,
            timeout_s=timeout_s,
        )
        return HeadAnswer(result, head.info.version, (time.perf_counter() - started_at) * 1000)

    def _usable(self, question: HeadQuestion) -> LoadedHead:
        head = self._heads.get(question.head)
        if head is None:
            raise NotFoundError(f"there is no head {question.head!r} in this process", head=question.head)
        if isinstance(head, FaultyHead):
            raise head.error
        check_backbone(head.info, question.backbone_digest)
        return head


def check_backbone(head: HeadInfo, digest: str) -> None:
    """Raises BackboneMismatchError, both digests named, where the head was trained on another backbone."""
    if head.backbone_digest != digest:
        raise BackboneMismatchError.between(head.name, head.backbone, head.backbone_digest, digest)


def _load(bundle: Bundle[HeadManifest], backbone_digest: str | None) -> LoadedHead | FaultyHead:
    try:
        decoder = head_class(bundle.manifest.task)(bundle)
        session = load_session(bundle)
        info = _info(bundle)
        if backbone_digest is not None:
            check_backbone(info, backbone_digest)
    except TrunklineError as error:
        _log.error("head %s cannot be served: %s", bundle.manifest.name, error)
        return FaultyHead(_info(bundle, fault=error.message), error)
    return LoadedHead(info, session, decoder)


def _info(bundle: Bundle[HeadManifest], fault: str = "") -> HeadInfo:
    manifest = bundle.manifest
    return HeadInfo(
        name=manifest.name,
        version=str(manifest.version),
        task=manifest.task,
        digest=manifest.digest,
        backbone=f"{manifest.backbone.name}/{manifest.backbone.version}",
        backbone_digest=manifest.backbone.digest,
        features=manifest.features,
        spec=manifest.preprocess,
        mode=manifest.mode,
        labels=bundle.labels,
        fault=fault,
    )

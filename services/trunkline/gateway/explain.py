"""Which places of a picture an answer comes from.

Activation asks the head what each place of the map adds whose mean it takes; one pass. Occlusion hides one part of
the picture after the other and looks at how much weaker the answer becomes; a pass for each, for any head.
Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 4.2.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from trunkline.core.errors import InvalidRequestError, WrongTaskError
from trunkline.core.exchange import FeatureRequest, Features, HeadQuestion, select
from trunkline.core.explaining import MAP, ExplainQuestion, Explanation, HeatMap, Method, PixelMask
from trunkline.core.preprocess import Frame
from trunkline.core.results import Embedding, Result
from trunkline.core.shared_picture import SharedPicture
from trunkline.core.task import Part
from trunkline.core.tasks import task_of
from trunkline.gateway.analyzer import Analysis, Analyzer
from trunkline.gateway.deadline import Deadline
from trunkline.gateway.directory import BackboneEntry, HeadEntry
from trunkline.gateway.together import few_together
from trunkline.serving.security.callers import count_picture

_LEAST_CELLS, _MOST_CELLS = 2, 16
_AT_ONCE = 4  # passes of one call; more would only wait for each other


async def explain(analyzer: Analyzer, question: ExplainQuestion, timeout_s: float) -> Explanation:
    """Raises InvalidRequestError for a target that is not there and a head that the method is not for, and as
    Analyzer.ask_version does.
    """
    entry = analyzer.named(question.head)
    if not _LEAST_CELLS <= question.cells <= _MOST_CELLS:
        raise InvalidRequestError(f"cells is {question.cells}: give {_LEAST_CELLS} to {_MOST_CELLS}")
    analyzer.check_size(question.image)
    embeds = task_of(entry.info.task).result is Embedding
    if question.other is not None and not embeds:
        raise WrongTaskError(f"other_image is for heads that embed; head {entry.info.name!r} does {entry.info.task}")
    run = _Run(analyzer, question, entry, analyzer.backbone_of(entry), Deadline(timeout_s), time.perf_counter())
    other = await run.other()
    if question.method == "occlusion" or (question.method is None and not run.can_be_active):
        return await run.by_occlusion(other)
    try:
        return await run.by_activation(other)
    except InvalidRequestError as error:
        if question.method is None and error.metadata.get("feature", "").endswith(MAP):
            return await run.by_occlusion(other)  # a vector that is no mean of a map
        raise


@dataclass(frozen=True)
class _Run:
    analyzer: Analyzer
    question: ExplainQuestion
    entry: HeadEntry
    backbone: BackboneEntry
    deadline: Deadline
    started_at: float

    @property
    def can_be_active(self) -> bool:
        """Whether the head takes one vector of its backbone, which may be the mean of a map."""
        vectors = {feature.name for feature in self.backbone.info.features if not feature.stride}
        return len(self.entry.info.features) == 1 and self.entry.info.features[0] in vectors

    async def other(self) -> Embedding | None:
        """The vector of the other picture."""
        if self.question.other is None:
            return None
        found = _result(await self._ask(self.question.other, {}))
        if not isinstance(found, Embedding):
            raise InvalidRequestError(f"head {self.question.head!r} gives no vector")
        return found

    async def by_activation(self, other: Embedding | None) -> Explanation:
        """Raises InvalidRequestError for a head that takes anything but the mean of a map."""
        if not self.can_be_active:
            raise InvalidRequestError(
                f"head {self.entry.info.name!r} does not work on one vector of its backbone: ask for occlusion"
            )
        count_picture()
        (name,) = self.entry.info.features
        features = await self._pass(FeatureRequest(self.question.image, self.entry.info.spec, (name, f"{name}{MAP}")))
        try:
            reference = () if other is None else other.values
            found = await self.entry.runner.explain(
                self._asked(features, {}), self.question.target, reference, self.deadline.left_s()
            )
        finally:
            features.release()
        return self._explanation(
            features.frame, found.target, found.strength, "activation", found.values, 1, adds_up=found.adds_up
        )

    async def by_occlusion(self, other: Embedding | None) -> Explanation:
        task = task_of(self.entry.info.task)
        params = task.to_be_explained({})
        whole = _result(await self._ask(self.question.image, params))
        try:
            part: Part[Any] = task.part_of(whole, self.question.target, other)
        except ValueError as error:
            raise InvalidRequestError(str(error)) from error
        cells = self.question.cells
        picture = SharedPicture([self.entry.info.spec])

        async def hidden(cell: int) -> tuple[float, Frame]:
            answer, frame = await self._masked(picture, PixelMask.hiding(cells, cells, cell), params)
            return part.strength(answer), frame

        found = await few_together([partial(hidden, cell) for cell in range(cells * cells)], _AT_ONCE)
        strength = part.strength(whole)
        values = np.array([strength - left for left, _ in found]).reshape(cells, cells)  # (cells, cells)
        return self._explanation(found[0][1], part.name, strength, "occlusion", values, cells * cells + 1)

    async def _masked(
        self, picture: SharedPicture, mask: PixelMask, params: Mapping[str, Any]
    ) -> tuple[Result, Frame]:
        """The answer about the picture, partly hidden."""
        info = self.entry.info
        count_picture()
        request = FeatureRequest(self.question.image, info.spec, info.features, shared=picture, mask=mask)
        features = await self._pass(request)
        try:
            answer = await self.entry.runner.predict(self._asked(features, params), self.deadline.left_s())
            return answer.read(), features.frame
        finally:
            features.release()

    def _asked(self, features: Features, params: Mapping[str, Any]) -> HeadQuestion:
        info = self.entry.info
        return HeadQuestion(
            info.name,
            select(features.arrays, list(features.arrays)),
            features.frame,
            features.backbone_digest,
            params,
            info.version,
            required=False,
            variant=info.variant,
        )

    async def _pass(self, request: FeatureRequest) -> Features:
        """Work that others come before: an explanation takes many times what an answer does."""
        asked = replace(request, required=False, backbone_digest=self.entry.info.backbone_digest)
        return await self.backbone.source.extract(asked, self.deadline.left_s())

    async def _ask(self, image: bytes, params: Mapping[str, Any]) -> Analysis:
        return await self.analyzer.ask_version(image, self.entry, params, self.deadline.left_s())

    def _explanation(
        self,
        frame: Frame,
        target: str,
        strength: float,
        method: Method,
        values: np.ndarray,
        passes: int,
        *,
        adds_up: bool = False,
    ) -> Explanation:
        return Explanation(
            self.question.head,
            self.entry.info.version,
            target,
            strength,
            method,
            adds_up,
            HeatMap.of(values, frame),
            (frame.image_width, frame.image_height),
            passes,
            (time.perf_counter() - self.started_at) * 1000,
        )


def _result(done: Analysis) -> Result:
    answer = done.outcomes[0].answer
    assert answer is not None
    return answer.read()

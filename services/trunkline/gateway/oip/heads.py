"""A version of a head as a model: pictures in, or the tensors that it declares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from trunkline.core.bundle import FeatureSpec
from trunkline.core.errors import InvalidRequestError, TrunklineError
from trunkline.core.exchange import IMAGE, HeadAnswer, HeadInfo, HeadQuestion
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.raw import pack_pixels
from trunkline.core.tasks import task_of
from trunkline.gateway.analyzer import Analyzer
from trunkline.gateway.directory import Directory, HeadEntry
from trunkline.gateway.oip.model import PICTURE, Description, Item, ModelRequest, Port, each
from trunkline.gateway.oip.outputs import outputs_of, ports_of
from trunkline.gateway.oip.tensors import BYTES
from trunkline.serving.aside import aside

PIXELS = "pixels"  # preprocessed pictures, the feature `image`; that name is taken by the encoded ones


@dataclass(frozen=True)
class HeadModel:
    """One version; `versions` are all that can be asked for. Asked many times, so what follows from these is kept."""

    entry: HeadEntry
    versions: tuple[str, ...]
    directory: Directory
    analyzer: Analyzer

    @cached_property
    def description(self) -> Description:
        info = self.entry.info
        return Description(
            name=info.name,
            version=info.version,
            versions=self.versions,
            inputs=(Port(PICTURE, BYTES, (1,)), *_tensor_ports(self.entry)),
            outputs=ports_of(info.task),
            facts={"task": info.task, "digest": info.digest, "backbone": info.backbone, "mode": info.mode},
        )

    @property
    def fault(self) -> str:
        info = self.entry.info
        try:
            self.directory.check(self.entry)
        except TrunklineError as error:
            return error.message
        silent = not self.directory.answering().get(info.name, False)
        return _SILENT if silent and not self.directory.find(info.name).info.fault else ""

    async def answer(self, question: ModelRequest) -> list[Item]:
        """Raises InvalidRequestError where both or neither of pictures and tensors came, and what the head raises."""
        tensors = {name: array for name, array in question.inputs.items() if name != PICTURE}
        if PIXELS in tensors and self.entry.info.features != (IMAGE,):
            return await self._from_pixels(tensors, question)
        if PICTURE not in question.inputs:
            return await self._from_tensors(tensors, question)
        if tensors:
            raise InvalidRequestError(
                f"inputs {PICTURE!r} and {', '.join(tensors)} exclude each other: send only one"
            )
        pictures = question.inputs[PICTURE]  # (N,) bytes
        return await each(len(pictures), lambda place: self._from_picture(pictures[place], question))

    async def _from_pixels(self, tensors: dict[str, np.ndarray], question: ModelRequest) -> list[Item]:
        """A pass on pixels (N, H, W, 3) that were preprocessed before, as a picture of just the size of the input."""
        if len(tensors) > 1 or PICTURE in question.inputs:
            raise InvalidRequestError(f"input {PIXELS!r} and others exclude each other: send only one")
        entry, pixels = self._of_pixels, tensors[PIXELS]
        return await each(len(pixels), lambda place: self._from_picture(pack_pixels(pixels[place]), question, entry))

    @cached_property
    def _of_pixels(self) -> HeadEntry:
        """The entry for pictures that have the size of the input already, which are taken as they are."""
        info = self.entry.info
        spec = PreprocessSpec(resize="squash", width=info.spec.width, height=info.spec.height)
        return replace(self.entry, info=replace(info, spec=spec))

    async def _from_picture(self, picture: bytes, question: ModelRequest, entry: HeadEntry | None = None) -> Item:
        done = await self.analyzer.ask_version(picture, entry or self.entry, question.params, question.timeout_s)
        answer = done.outcomes[0].answer
        if answer is None:
            raise RuntimeError("a required question was neither answered nor refused")
        return Item(
            outputs=await _outputs_of(self.entry.info, answer, question.wanted),
            version=answer.version,
            queue_ms=done.queue_ms,
            decode_ms=done.decode_ms,
            infer_ms=done.backbone_ms + done.head_ms,
        )

    async def _from_tensors(self, tensors: dict[str, np.ndarray], question: ModelRequest) -> list[Item]:
        info = self.entry.info
        self.directory.check(self.entry)
        missing = [name for name in map(_input_name, info.features) if name not in tensors]
        if missing:
            raise InvalidRequestError(f"input {missing[0]!r} is missing; send it, or pictures as {PICTURE!r}")
        count = len(next(iter(tensors.values())))
        return await each(count, lambda place: self._from_features(tensors, place, question))

    async def _from_features(self, tensors: dict[str, np.ndarray], place: int, question: ModelRequest) -> Item:
        info = self.entry.info
        head_question = HeadQuestion(
            head=info.name,
            version=info.version,
            features={name: tensors[_input_name(name)][place : place + 1] for name in info.features},
            frame=_own_frame(info.spec),
            backbone_digest=info.backbone_digest,
            params=question.params,
        )
        answer = await self.entry.runner.predict(head_question, question.timeout_s)
        outputs = await _outputs_of(info, answer, question.wanted)
        return Item(outputs, answer.version, infer_ms=answer.head_ms)


_SILENT = "its head service does not answer"


async def _outputs_of(info: HeadInfo, answer: HeadAnswer, wanted: Sequence[str]) -> Mapping[str, np.ndarray]:
    """JSON of masks and label maps is long."""
    if task_of(info.task).is_long:
        return await aside(outputs_of, info.name, answer, wanted)
    return outputs_of(info.name, answer, wanted)


def _input_name(feature: str) -> str:
    return PIXELS if feature == IMAGE else feature


def _tensor_ports(entry: HeadEntry) -> list[Port]:
    """Of features of a backbone that nobody serves the sizes are not known: they are left out."""
    info = entry.info
    channels = {feature.name: feature for feature in entry.backbone.info.features} if entry.backbone else {}
    depth = 1 if info.spec.colour == "L" else 3
    ports = [Port(PIXELS, "UINT8", (info.spec.height, info.spec.width, depth), optional=True)]
    for name in info.features:
        if name in channels:
            ports.append(Port(name, "FP32", _dims(channels[name], info.spec), optional=True))
    return ports


def _dims(feature: FeatureSpec, spec: PreprocessSpec) -> tuple[int, ...]:
    """(C, H, W) for pictures of this spec; (C,) for a vector."""
    sides = (spec.height // feature.stride, spec.width // feature.stride) if feature.stride else ()
    return (feature.channels, *sides)


def _own_frame(spec: PreprocessSpec) -> Frame:
    """The frame of a picture that is the model's input itself: answers are in its pixels."""
    return Frame(
        image_width=spec.width,
        image_height=spec.height,
        x_scale=1.0,
        x_offset=0.0,
        y_scale=1.0,
        y_offset=0.0,
        input_width=spec.width,
        input_height=spec.height,
    )

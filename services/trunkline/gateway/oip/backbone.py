"""A backbone as a model: pictures in, features out."""

from dataclasses import dataclass
from typing import ClassVar

from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import FeatureRequest
from trunkline.core.preprocess import PreprocessSpec
from trunkline.gateway.directory import BackboneEntry, Directory
from trunkline.gateway.oip.model import PICTURE, Description, Item, ModelRequest, Port, each, no_params
from trunkline.gateway.oip.tensors import BYTES
from trunkline.serving import wire

LIKE = "preprocess_of"  # parameter: the head whose preprocessing is to be used


@dataclass(frozen=True)
class BackboneModel:
    """One version; `versions` are all of its name that are served."""

    entry: BackboneEntry
    versions: tuple[str, ...]
    directory: Directory
    fault: ClassVar[str] = ""

    @property
    def description(self) -> Description:
        """Sides of maps are -1, as they follow the preprocessing; vectors are the default."""
        info = self.entry.info
        return Description(
            name=info.name,
            version=info.version,
            versions=self.versions,
            inputs=(Port(PICTURE, BYTES, (1,)),),
            outputs=tuple(
                Port(feature.name, "FP32", (feature.channels, *((-1, -1) if feature.stride else ())))
                for feature in info.features
            ),
            default_outputs=tuple(feature.name for feature in info.features if not feature.stride),
            facts={"digest": info.digest},
        )

    async def answer(self, question: ModelRequest) -> list[Item]:
        """Raises InvalidRequestError, NotFoundError for `preprocess_of`, and what the backbone raises."""
        no_params(question.params, [LIKE])
        spec = self._spec(question.params.get(LIKE))
        pictures = question.inputs[PICTURE]  # (N,) bytes
        return await each(len(pictures), lambda place: self._pass(pictures[place], spec, question))

    def _spec(self, head: object) -> PreprocessSpec:
        if head is None:
            return PreprocessSpec()
        if not isinstance(head, str):
            raise InvalidRequestError(f"parameter {LIKE!r} must be the name of a head")
        return self.directory.find(head).info.spec

    async def _pass(self, picture: bytes, spec: PreprocessSpec, question: ModelRequest) -> Item:
        info = self.entry.info
        request = FeatureRequest(picture, spec, question.wanted, backbone_digest=info.digest)
        found = await self.entry.source.extract(request, question.timeout_s)
        return Item(
            outputs={name: wire.array_of(found.arrays[name])[0] for name in question.wanted},
            version=info.version,
            queue_ms=found.queue_ms,
            decode_ms=found.decode_ms,
            infer_ms=found.backbone_ms,
        )

"""What passes and heads cost, as the gateway saw it lately; where it has not seen them, as their pixels tell."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from trunkline.core.exchange import IMAGE, BackboneInfo, Features, HeadInfo
from trunkline.core.preprocess import PreprocessSpec
from trunkline.serving.admission import Mean

# Before anything was measured. Only ratios matter: what is measured replaces them.
_PASS_MS_PER_PIXEL = 8.0 / (224 * 224)
_DECODE_MS = 2.0
_VECTOR_HEAD_MS, _MAP_HEAD_SHARE = 0.3, 0.5  # a head on maps, of a pass of its size
_LEAST_SEEN = 8  # runs before a measured value counts
_BAND = 1.5  # a value counts until the mean has left it by this factor
_MOST_KEPT = 2048
K = TypeVar("K", bound=Hashable)


class Costs:
    """Milliseconds. A value stays while the mean is near it, so that plans do not follow every breath of a machine.

    For one event loop.
    """

    def __init__(self) -> None:
        self._decodes = _Table[PreprocessSpec]()
        self._passes = _Table[tuple[str, PreprocessSpec]]()  # by digest of the backbone, too
        self._heads = _Table[tuple[str, str, PreprocessSpec]]()  # by name and version, too

    @property
    def changes(self) -> int:
        """Grows whenever a value changes."""
        return self._decodes.changes + self._passes.changes + self._heads.changes

    def passed(self, backbone: str, spec: PreprocessSpec, found: Features) -> None:
        """A pass of the backbone with this digest was made; features that were kept say nothing."""
        if found.cached:
            return
        self._decodes.add(spec, found.decode_ms)
        if found.backbone_ms > 0:
            self._passes.add((backbone, spec), found.backbone_ms)

    def answered(self, head: HeadInfo, took_ms: float) -> None:
        """Without waiting."""
        self._heads.add((head.name, head.version, head.spec), took_ms)

    def decode_ms(self, spec: PreprocessSpec) -> float:
        """From bytes to the pixels of this spec; it depends on the picture more than on the spec."""
        values = self._decodes.values
        return values[spec] if spec in values else _mean(values.values(), _DECODE_MS)

    def pass_ms(self, backbone: str, spec: PreprocessSpec) -> float:
        """The backbone alone; in proportion to what its other passes took, where it has made some."""
        values = self._passes.values
        if (backbone, spec) in values:
            return values[backbone, spec]
        per_pixel = (took / _pixels(other) for (digest, other), took in values.items() if digest == backbone)
        return _pixels(spec) * _mean(per_pixel, _PASS_MS_PER_PIXEL)

    def head_ms(self, head: HeadInfo, backbone: BackboneInfo) -> float:
        """A head under the spec that `head` has; in proportion to itself where it has answered under others alone."""
        values = self._heads.values
        if (head.name, head.version, head.spec) in values:
            return values[head.name, head.version, head.spec]
        strides = {feature.name: feature.stride for feature in backbone.features}
        grows = any(name == IMAGE or strides.get(name, 1) for name in head.features)
        usual = _MAP_HEAD_SHARE * _PASS_MS_PER_PIXEL * _pixels(head.spec) if grows else _VECTOR_HEAD_MS
        return _mean(
            (
                took * (_pixels(head.spec) / _pixels(other) if grows else 1.0)
                for (name, version, other), took in values.items()
                if (name, version) == (head.name, head.version)
            ),
            usual,
        )


class _Table(Generic[K]):
    """Running means by key, and the values that count of them."""

    def __init__(self) -> None:
        self.changes = 0
        self._values: dict[K, float] = {}
        self._seen: dict[K, tuple[Mean, int]] = {}

    @property
    def values(self) -> Mapping[K, float]:
        return self._values

    def add(self, key: K, newest: float) -> None:
        if len(self._seen) >= _MOST_KEPT:  # of versions that are long gone
            self._seen.clear()
            self._values.clear()
        mean, count = self._seen.get(key) or (Mean(), 0)
        mean.add(newest)
        self._seen[key] = mean, count + 1
        if count + 1 < _LEAST_SEEN:
            return
        value = self._values.get(key)
        if value is None or not value / _BAND <= mean.value <= value * _BAND:
            self._values[key] = mean.value
            self.changes += 1


def _mean(values: Iterable[float], usual: float) -> float:
    found = list(values)
    return sum(found) / len(found) if found else usual


def _pixels(spec: PreprocessSpec) -> int:
    return spec.width * spec.height

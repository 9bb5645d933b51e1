"""One output, `level` float32 (N, 1), to how bright a picture is."""

from collections.abc import Mapping
from typing import Any, ClassVar

from trunkline.heads.glow.task import Glow, GlowParams

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.head import Arrays
from trunkline.core.params import parse_params
from trunkline.core.preprocess import Frame


class Head:
    task: ClassVar[str] = "glow"

    def __init__(self, bundle: Bundle[HeadManifest]) -> None:
        """It has no settings."""

    def decode(self, outputs: Arrays, frame: Frame, params: Mapping[str, Any]) -> Glow:
        level = min(1.0, max(0.0, float(outputs["level"][0, 0])))
        return Glow(level, "bright" if level >= parse_params(GlowParams, params).threshold else "dark")

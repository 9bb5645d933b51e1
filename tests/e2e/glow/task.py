"""What glow is: how bright a picture is, as a number that is learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trunkline.core.figures import percent
from trunkline.core.params import Option, Params
from trunkline.core.results import Result
from trunkline.core.task import BaseTask, Call, Canvas, Column, Metric, Tensor, Training

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Glow(Result):
    """level: 0 to 1. word: "bright" from `threshold` on, else "dark"."""

    level: float
    word: str


class GlowParams(Params):
    threshold: Annotated[float, Option("Level from which a picture is bright.", low=0, high=1, metavar="T")] = 0.5


class GlowOptions(Params):
    spread: Annotated[float, Option("Standard deviation that counts as one.", low=0.01, high=1)] = 1.0


class Task(BaseTask[Glow]):
    """How bright a picture is."""

    result = Glow
    params = GlowParams
    call = Call("Glow", "Say how bright pictures are.", "How bright a picture is.")
    tensors = (Tensor("level", "FP32", ()),)
    columns = (Column("level", right=True), Column("word"))
    metrics: ClassVar = (Metric("off", higher_is_better=False, relative=True, decides=True),)
    training = Training(options=GlowOptions)
    truth = "numbers"

    def tensors_of(self, result: Glow) -> dict[str, "np.ndarray | list[str]"]:
        import numpy as np

        return {"level": np.array(result.level, np.float32)}

    def rows(self, result: Glow) -> Sequence[tuple[str, str]]:
        return [(percent(result.level), result.word)]

    def summary(self, result: Glow) -> Sequence[tuple[str, str]]:
        return [(result.word, percent(result.level))]

    def paint(self, canvas: Canvas, result: Glow) -> None:
        """A frame, white for a bright picture, black for a dark one."""
        from PIL import ImageDraw

        colour = "white" if result.word == "bright" else "black"
        size = canvas.picture.size
        ImageDraw.Draw(canvas.picture).rectangle((0, 0, size[0] - 1, size[1] - 1), outline=colour, width=5)

    def targets_of(self, result: Glow) -> Sequence[tuple[str, str]]:
        return [("level", "")]

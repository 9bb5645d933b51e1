"""The custom runtime: the same FullModel behind MLServer's MLModel. Runs in MLServer's own environment."""

from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput

from benchmarks.peers.model import FullModel

TOP = 5


class Vision(MLModel):
    """One input, `image`: BYTES with encoded pictures, or UINT8 (N, H, W, 3)."""

    async def load(self) -> bool:
        self._model = FullModel(Path(str(self.settings.parameters.uri)))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        # One worker process for each core does the computing, so nothing else waits for this one.
        answers = self._answers(payload.inputs[0])
        shape = [len(answers), TOP]
        labels = [label.encode() for answer in answers for label, _ in answer]
        scores = [score for answer in answers for _, score in answer]
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                ResponseOutput(name="labels", shape=shape, datatype="BYTES", data=labels),
                ResponseOutput(name="scores", shape=shape, datatype="FP32", data=scores),
            ],
        )

    def _answers(self, given: RequestInput) -> list[list[tuple[str, float]]]:
        if given.datatype == "UINT8":
            pixels = np.asarray(NumpyCodec.decode_input(given), np.uint8)  # (N, H, W, 3)
            return [self._model.classify_pixels(each[None]) for each in pixels]
        try:
            return [self._model.classify_jpeg(data) for data in given.data.root]
        except (OSError, ValueError) as error:
            raise InferenceError("not a picture that can be read") from error

"""What a head service gets from those who are no gateway: tensors and frames that fit nothing."""

from collections import Counter
from contextlib import closing

import numpy as np

from benchmarks.hostile.case import HEAD, HEADS, Case, Codes, Where, ask, at_once, channel
from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2, tensor_pb2
from trunkline.core.repository import Repository

_FLOAT = tensor_pb2.DATA_TYPE_FLOAT32
_SHAPES = (([1 << 32, 1 << 32], b""), ([0, 1 << 62], b""), ([1] * 3000, b"four"), ([2, 1280], b""))
_FRAME = {"image_width": 480, "image_height": 352, "x_scale": 1.0, "y_scale": 1.0, "input_width": 480,
          "input_height": 352}  # fmt: skip


def _odd(where: Where) -> Codes:
    """Shapes that overflow, sizes that do not fit, frames of pictures of 3.6 billion pixels; 30 MB of features."""
    repository = Repository(where.models)
    found = Counter[str]()
    with closing(channel(where.address)) as opened:
        for _ in range(20):
            for shape, data in _SHAPES:
                tensor = tensor_pb2.Tensor(dtype=_FLOAT, shape=shape, data=data)
                found[_ask(opened, repository, "imagenet", {"pooled": tensor}, {})] += 1
        good = repository.head("camvid").read_golden()[0]
        whole = {name: _tensor(array) for name, array in good.items()}
        for frame in ({"x_scale": float("nan")}, {"y_scale": 0.0}, {"x_offset": 1e300}, {"input_width": 0},
                      {"image_width": 60_000, "image_height": 60_000}):  # fmt: skip
            found[_ask(opened, repository, "camvid", whole, frame)] += 1
        large = {f"f{number}": _tensor(np.zeros((1, 1_500_000), np.float32)) for number in range(5)}
        found += at_once(20, lambda _: _ask(opened, repository, "imagenet", large, {}))
    return found


def _tensor(array: np.ndarray) -> tensor_pb2.Tensor:
    return tensor_pb2.Tensor(dtype=_FLOAT, shape=array.shape, data=array.astype("<f4").tobytes())


def _ask(
    opened: object, repository: Repository, head: str, features: dict[str, tensor_pb2.Tensor], frame: dict[str, float]
) -> str:
    digest = repository.head(head).manifest.backbone.digest
    request = head_service_pb2.PredictRequest(
        head=head,
        features=features,
        frame=backbone_service_pb2.Frame(**{**_FRAME, **frame}),  # type: ignore[arg-type]
        backbone_digest=digest,
    )
    return ask(opened, f"{HEADS}Predict", request.SerializeToString())  # type: ignore[arg-type]


CASES = (Case("tensors and frames that fit nothing", _odd, (HEAD,)),)

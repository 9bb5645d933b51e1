"""A head service and what a peer may send it: refused by name, never a bug."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from trunkline.api.inference.v1 import head_service_pb2 as pb
from trunkline.api.inference.v1.head_service_pb2_grpc import HeadServiceStub
from trunkline.assembly import roles
from trunkline.core.preprocess import Frame
from trunkline.core.repository import Repository
from trunkline.serving import wire
from trunkline.testing.serve import local_settings

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
async def stub(models: Path) -> AsyncIterator[HeadServiceStub]:
    async with (
        roles.heads(local_settings(models=models, heads=("camvid", "imagenet"))) as host,
        grpc.aio.insecure_channel(host.address) as channel,
    ):
        yield HeadServiceStub(channel)


def asked(models: Path, head: str, shapes: dict[str, tuple[int, ...]], **frame: float) -> pb.PredictRequest:
    digest = Repository(models).head(head).manifest.backbone.digest
    whole = {**vars(Frame(480, 352, 1.0, 0.0, 1.0, 0.0, 480, 352)), **frame}
    features = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return pb.PredictRequest(
        head=head,
        features=wire.tensors_to_pb(features),
        frame=wire.frame_to_pb(Frame(**whole)),
        backbone_digest=digest,
    )


async def test_features_and_frames_that_do_not_fit_are_refused(stub, models):
    inputs = Repository(models).head("camvid", 1).read_golden()[0]
    good = {name: array.shape for name, array in inputs.items()}
    answer = await stub.Predict(asked(models, "camvid", good))
    assert answer.outcome.segmentation.label_map_png
    name, shape = max(good.items(), key=lambda item: item[1][-1])
    for bad, frame in (
        ({**good, name: (2, *shape[1:])}, {}),
        ({**good, name: (*shape[:2], 0, 0)}, {}),
        ({**good, name: (*shape[:2], shape[2] + 1, shape[3] + 3)}, {}),
        (good, {"x_offset": 200.0}),
        (good, {"image_width": 60_000, "image_height": 60_000}),
        (good, {"y_scale": float("nan")}),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Predict(asked(models, "camvid", bad, **frame))
        assert refused.value.code() is INVALID, refused.value.details()


async def test_a_shape_that_overflows_is_refused(stub, models):
    request = asked(models, "imagenet", {"pooled": (1, 1280)})
    del request.features["pooled"].shape[:]
    request.features["pooled"].shape.extend([1 << 32, 1 << 32])
    request.features["pooled"].data = b""
    both = pb.PredictAllRequest(
        features=request.features,
        frame=request.frame,
        questions=[pb.HeadQuestion(head="imagenet", features=["pooled"])],
    )
    for call in (stub.Predict(request), stub.PredictAll(both)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is INVALID

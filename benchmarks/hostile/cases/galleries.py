"""Galleries without end: names, vectors, and pictures with much behind their end."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import grpc
import numpy as np

from benchmarks.hostile.case import Case, Codes, Where, channel
from benchmarks.pictures import distinct_jpegs
from trunkline.api.vision.v1 import gallery_service_pb2 as pb
from trunkline.api.vision.v1 import image_pb2, results_pb2
from trunkline.api.vision.v1.gallery_service_pb2_grpc import GalleryServiceStub

_VECTORS, _GALLERIES, _PICTURES = 5000, 1500, 12
_RUBBISH = 8 << 20


def _flood(where: Where) -> Codes:
    """1,500 galleries, 5,000 vectors of a class each, 12 kept pictures with 8 MiB of rubbish behind their end."""
    found = Counter[str]()
    with closing(channel(where.address)) as opened:
        stub = GalleryServiceStub(opened)
        gallery = _tried(found, "create", lambda: stub.CreateGallery(_new("flood"), timeout=30))
        for number in range(_GALLERIES):
            _tried(found, "create", lambda number=number: stub.CreateGallery(_new(f"g{number}"), timeout=30))
        if gallery is not None:
            found += _added(stub, _vectors(gallery.gallery.space, gallery.gallery.dimension))
        _tried(found, "create", lambda: stub.CreateGallery(_new("kept", keep_images=True), timeout=30))
        found += _added(stub, _pictures())
    return found


def _new(name: str, *, keep_images: bool = False) -> pb.CreateGalleryRequest:
    return pb.CreateGalleryRequest(gallery=name, head="pets", keep_images=keep_images)


def _vectors(space: str, dimension: int) -> Iterator[pb.AddImagesRequest]:
    rng = np.random.default_rng(2)
    for number in range(_VECTORS):
        values = rng.normal(size=dimension).astype(np.float32).tolist()
        embedding = results_pb2.Embedding(space=space, values=values)
        yield pb.AddImagesRequest(gallery="flood", id=f"{number}", class_label=f"c{number}", embedding=embedding)


def _pictures() -> Iterator[pb.AddImagesRequest]:
    for number, data in enumerate(distinct_jpegs(_PICTURES, seed=6)):
        image = image_pb2.Image(data=data + bytes(_RUBBISH))
        yield pb.AddImagesRequest(gallery="kept", id=f"{number}", class_label="c", image=image)


def _added(stub: GalleryServiceStub, requests: Iterator[pb.AddImagesRequest]) -> Codes:
    found = Counter[str]()
    try:
        for answer in stub.AddImages(requests, timeout=60):
            found[f"add {answer.error.reason or 'OK'}"] += 1
    except grpc.RpcError as error:
        found[f"add {error.code().name}"] += 1
    return found


def _tried(found: Codes, name: str, call: object) -> pb.CreateGalleryResponse | None:
    try:
        answer: pb.CreateGalleryResponse = call()  # type: ignore[operator]
    except grpc.RpcError as error:
        found[f"{name} {error.code().name}"] += 1
        return None
    found[f"{name} OK"] += 1
    return answer


CASES = (Case("galleries, vectors and kept rubbish", _flood),)

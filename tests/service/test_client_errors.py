"""What the client raises shows what went wrong, and nothing of how it talks."""

import traceback

import pytest

from trunkline.client import CatalogClient, Client, GalleryClient, ServiceError, TrainingClient, TrainRequest

NOBODY = "127.0.0.1:9"


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda client: client.classify("/no/picture.jpg"), FileNotFoundError),
        (lambda client: client.classify(b"no picture"), ServiceError),
        (lambda client: client.get_head("nope"), ServiceError),
        (lambda client: client.compare(b"a", "/no/picture.jpg"), FileNotFoundError),
    ],
)
def test_an_error_is_one_traceback(target, call, kind):
    with Client(target) as client, pytest.raises(kind) as caught:
        call(client)
    assert shown(caught.value).count("Traceback") == 1
    assert "grpc" not in shown(caught.value).lower()


@pytest.mark.parametrize(
    ("made", "call"),
    [
        (Client, lambda client: client.list_heads()),
        (Client, lambda client: list(client.analyze_stream([("a", b"x")], ["imagenet"]))),
        (GalleryClient, lambda client: client.get("nope")),
        (CatalogClient, lambda client: client.rollback("nope")),
        (TrainingClient, lambda client: client.create(TrainRequest(name="x", data="/nope"))),
    ],
)
def test_a_service_that_is_not_there_is_one_traceback(made, call):
    with made(NOBODY) as client, pytest.raises(ServiceError, match="no service answers") as caught:
        call(client)
    assert shown(caught.value).count("Traceback") == 1

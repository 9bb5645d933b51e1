"""Pages of lists: all items once, however many there are and however large they are."""

from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.core.models import ModelVersion
from trunkline.serving.catalog_wire import version_to_pb
from trunkline.serving.limits import check_message
from trunkline.serving.pages import message_page

NAMES = sorted(f"{number:03}-{'x' * 59}" for number in range(300))


def walk(labels: list[str], size: int) -> tuple[list[str], list[int]]:
    """The names of all pages, and how many each page had."""
    seen, sizes, token = [], [], ""
    while not sizes or token:
        check_message(pb.ListHeadsRequest(page_size=size, page_token=token))
        part, token = message_page(NAMES, str, lambda name: pb.Head(name=name, labels=labels), size, token)
        assert sum(head.ByteSize() for head in part) < 4 * 1024 * 1024 or len(part) == 1
        seen += [head.name for head in part]
        sizes.append(len(part))
    return seen, sizes


def test_300_heads_are_listed_by_page():
    assert walk([], 0) == (NAMES, [100, 100, 100])
    assert walk([], 1000) == (NAMES, [300])
    assert walk([], 7)[0] == NAMES


def test_a_page_of_large_messages_has_fewer():
    seen, sizes = walk(["label" * 8] * 1000, 1000)
    assert seen == NAMES
    assert 1 < len(sizes) < 10
    assert walk(["label" * 100_000] * 10, 1000)[1] == [1] * 300  # each larger than a page


def test_a_manifest_with_long_texts_makes_no_page_large():
    version = ModelVersion("a", 1, source="t" * 10**6, licence="t" * 10**6, data="t" * 10**6, fault="t" * 10**6)
    assert version_to_pb(version).ByteSize() < 20_000

"""What a call leaves behind: nothing that waits for the garbage collector, with the picture and its features."""

import asyncio
import gc

import pytest

from trunkline.backbone.engine import BackboneEngine
from trunkline.core.errors import InvalidImageError, QueueFullError
from trunkline.core.exchange import Features
from trunkline.core.images import ImageLimits
from trunkline.core.repository import Repository
from trunkline.gateway.analyzer import Analyzer, HeadRequest
from trunkline.gateway.directory import Directory
from trunkline.gateway.passes import SharedPass
from trunkline.gateway.picture import PictureRun
from trunkline.heads.engine import HeadEngine
from trunkline.heads.versions import Choice
from trunkline.serving.workers import WorkerPool

HEADS = ("imagenet", "flowers102")  # their specs differ


@pytest.fixture
async def analyzer(models):
    workers = WorkerPool(threads=2, max_held=8)
    repository = Repository(models)
    backbone = BackboneEngine.load(repository.backbone("efficientnet-lite0"), workers, ImageLimits())
    directory = Directory([backbone], [HeadEngine.load(repository, workers, Choice(HEADS), grace_s=60)])
    await directory.refresh()
    yield Analyzer(directory, max_image_bytes=1 << 24)
    workers.close()


@pytest.fixture
def left():
    """The objects of calls that are still there, with nothing collected since the test began."""
    gc.collect()
    before = set(map(id, _objects()))
    gc.disable()

    async def found() -> list[str]:
        names = []
        for _ in range(100):
            names = [type(each).__name__ for each in _objects() if id(each) not in before]
            if not names:
                break
            await asyncio.sleep(0.01)  # a worker gives its piece up a moment after the answer
        return names

    yield found
    gc.enable()


def _objects() -> list[object]:
    # By type(): isinstance asks an object for its class, and among all there are some that do not like that.
    return [each for each in gc.get_objects() if type(each) in (PictureRun, SharedPass, Features)]


async def test_a_call_that_asks_one_head_leaves_nothing(analyzer, left, photos):
    picture = photos[0].read_bytes()
    for _ in range(10):  # the head is soon one that answers on the thread of its pass
        done = await analyzer.ask_one(picture, "classification", "imagenet", {}, 60.0)
        assert done.outcomes[0].answer is not None
    assert await left() == []


async def test_a_call_that_asks_several_leaves_nothing(analyzer, left, photos):
    for _ in range(10):
        done = await analyzer.analyze(photos[0].read_bytes(), [HeadRequest(head) for head in HEADS], 60.0)
        assert all(outcome.answer is not None for outcome in done.outcomes)
    assert await left() == []


async def test_a_call_about_a_broken_picture_leaves_nothing(analyzer, left, photos):
    with pytest.raises(InvalidImageError) as raised:
        await analyzer.ask_one(photos[0].read_bytes()[:2000], "classification", "imagenet", {}, 60.0)
    del raised  # its traceback has the frames
    assert await left() == []


async def test_a_call_whose_pass_is_refused_leaves_nothing(analyzer, left, photos, monkeypatch):
    def refuse(self, *arguments):
        raise QueueFullError("full", retry_after_s=1.0)

    monkeypatch.setattr(WorkerPool, "_put", refuse)
    for _ in range(3):
        done = await analyzer.analyze(photos[0].read_bytes(), [HeadRequest(head) for head in HEADS[:1]], 60.0)
        assert isinstance(done.outcomes[0].error, QueueFullError)
        done.outcomes[0].error.__traceback__ = None  # as where it is sent
        del done
    assert await left() == []

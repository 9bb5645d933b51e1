"""Questions of one moment: grouped, answered one by one, given up together."""

import asyncio

import numpy as np
import pytest

from trunkline.core.exchange import HeadAnswer, HeadQuestion, RemoteFeature
from trunkline.core.preprocess import Frame
from trunkline.core.results import Custom
from trunkline.gateway.together import SMALL_BYTES, Together, is_small

pytestmark = pytest.mark.asyncio


def frame() -> Frame:
    return Frame(640, 480, 0, 0, 640, 480, 224, 224)


def question(head: str, of: Frame, *, required: bool = True) -> HeadQuestion:
    return HeadQuestion(head, {}, of, "ab", required=required)


class Service:
    """Answers with the names of the heads, in groups that are kept; `bad` is an error, `gone` costs the group."""

    def __init__(self) -> None:
        self.groups: list[tuple[list[str], float | None]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.cancelled = 0

    async def send(self, questions, timeout_s):
        names = [each.head for each in questions]
        self.groups.append((names, timeout_s))
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if "gone" in names:
            raise ConnectionError("gone")
        return [ValueError(name) if name == "bad" else HeadAnswer(Custom({"of": name}), "1", 0.1) for name in names]


async def test_what_is_asked_at_once_about_one_pass_goes_in_one_call():
    service, one, other = Service(), frame(), frame()
    together = Together(service.send)
    asked = [question("a", one), question("b", other), question("c", one)]
    answers = await asyncio.gather(*(together.ask(each, 1.0 + number) for number, each in enumerate(asked)))
    assert [answer.result.fields["of"] for answer in answers] == ["a", "b", "c"]
    assert service.groups == [(["a", "c"], 3.0), (["b"], 2.0)]
    await together.ask(question("a", one), None)
    assert service.groups[2:] == [(["a"], None)]


async def test_what_a_call_can_do_without_has_a_group_of_its_own():
    service, one = Service(), frame()
    together = Together(service.send)
    asked = [question("a", one), question("b", one, required=False), question("c", one)]
    await asyncio.gather(*(together.ask(each, 1.0) for each in asked))
    assert [names for names, _ in service.groups] == [["a", "c"], ["b"]]


async def test_a_head_that_fails_costs_its_own_answer_and_a_lost_call_all_of_its_group():
    service, one, other = Service(), frame(), frame()
    together = Together(service.send)
    asked = [question("a", one), question("bad", one), question("b", other), question("gone", other)]
    answers = await asyncio.gather(*(together.ask(each, 1.0) for each in asked), return_exceptions=True)
    assert isinstance(answers[0], HeadAnswer)
    assert [type(answer) for answer in answers[1:]] == [ValueError, ConnectionError, ConnectionError]


async def test_a_call_goes_on_while_one_waits_and_is_given_up_with_the_last():
    service, one = Service(), frame()
    together = Together(service.send)
    service.open.clear()
    first, second = (asyncio.create_task(together.ask(question(name, one), 1.0)) for name in "ab")
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0.01)
    assert service.cancelled == 0
    second.cancel()
    await asyncio.sleep(0.01)
    assert service.cancelled == 1
    service.open.set()
    assert (await together.ask(question("c", one), 1.0)).result.fields == {"of": "c"}


async def test_what_nobody_waits_for_any_more_is_not_sent():
    service = Service()
    together = Together(service.send)
    task = asyncio.create_task(together.ask(question("a", frame()), 1.0))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0.01)
    assert service.groups == []


async def test_small_are_features_of_few_bytes_in_the_message_itself():
    class Held:
        def release(self) -> None: ...

    few = RemoteFeature(b"x" * 100)
    assert is_small({"pooled": few})
    assert is_small({"pooled": few, "c5": few})
    assert not is_small({"pooled": few, "c5": RemoteFeature(b"x" * SMALL_BYTES)})
    assert not is_small({"pooled": few, "c5": RemoteFeature(b"x", Held())})
    assert not is_small({"pooled": np.zeros(3)})

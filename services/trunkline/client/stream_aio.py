"""A stream of pictures for asyncio: fed, sent, read and, where the service restarts, opened again."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import Any, TypeVar

import grpc

from trunkline.client.answers import PictureAnswer
from trunkline.client.conversation import (
    Conversation,
    OnOutcome,
    PictureLike,
    Told,
    ended_early,
    explained,
    keyed,
    unreadable,
)
from trunkline.client.encode import ImageLike, encode_image
from trunkline.client.errors import ServiceError
from trunkline.client.patience import PAUSE_S, Patience

T = TypeVar("T")
Pictures = Iterable[PictureLike] | AsyncIterable[PictureLike]


class AsyncStream:
    """One stream, with at most `in_flight` pictures that were taken from the caller and not handed back answered."""

    def __init__(self, target: str, open_call: Callable[[], Any], conversation: Conversation, in_flight: int) -> None:
        self._target = target
        self._open_call = open_call
        self._conversation = conversation
        self._places = asyncio.Semaphore(in_flight)
        self._more = asyncio.Event()
        self._fed = False
        # None is the end.
        self._heard: asyncio.Queue[Told | PictureAnswer | Exception | None] = asyncio.Queue()

    async def answers(
        self, pictures: Pictures, patience_s: float, on_outcome: OnOutcome | None
    ) -> AsyncGenerator[PictureAnswer, None]:
        """One for each picture, in the order in which they are ready."""
        tasks = [asyncio.create_task(self._feed(pictures)), asyncio.create_task(self._talk(patience_s))]
        try:
            while (heard := await self._heard.get()) is not None:
                if isinstance(heard, Exception):
                    raise heard
                if isinstance(heard, PictureAnswer):
                    yield heard
                    self._places.release()
                elif on_outcome is not None:
                    on_outcome(heard.key, heard.outcome)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self, pictures: Pictures) -> None:
        number = 0
        try:
            async with contextlib.aclosing(each_of(pictures)) as each:
                async for picture in each:
                    await self._places.acquire()
                    await self._add(*keyed(number, picture))
                    number += 1
        except Exception as error:  # of the caller's own iterator
            self._heard.put_nowait(error)
        self._fed = True
        self._more.set()

    async def _add(self, key: Any, picture: ImageLike) -> None:
        try:
            data = await encoded(picture)
        except (OSError, ServiceError) as error:
            self._heard.put_nowait(unreadable(key, error))
        else:
            self._conversation.ask(key, data)
            self._more.set()

    async def _talk(self, patience_s: float) -> None:
        patience = Patience(self._target, patience_s, explained, patient_at_first=False)
        while True:
            patience.calls()
            try:
                await self._one_call(patience)
            except grpc.RpcError as error:
                try:
                    patience.broke(error)
                except ServiceError as final:
                    return self._heard.put_nowait(final)
                await asyncio.sleep(PAUSE_S)
            except Exception as error:
                return self._heard.put_nowait(error)
            else:
                whole = self._fed and self._conversation.answered
                return self._heard.put_nowait(None if whole else ended_early(self._target))

    async def _one_call(self, patience: Patience) -> None:
        call = self._open_call()
        writer = asyncio.create_task(self._write(call))
        try:
            async for message in call:
                patience.heard()
                heard = self._conversation.take(message)
                if heard is not None:
                    self._heard.put_nowait(heard)
        finally:
            call.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)  # what broke the call shows where it is read

    async def _write(self, call: Any) -> None:
        sent = 0
        while True:
            self._more.clear()
            found = self._conversation.next_after(sent)
            if found is not None:
                sent, request = found
                await call.write(request)
            elif self._fed:
                await call.done_writing()
                return
            else:
                await self._more.wait()


async def encoded(image: ImageLike) -> bytes:
    """encode_image beside the event loop, which reading files and making PNGs would hold up."""
    return encode_image(image) if isinstance(image, bytes) else await asyncio.to_thread(encode_image, image)


async def each_of(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    """The items of either."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item

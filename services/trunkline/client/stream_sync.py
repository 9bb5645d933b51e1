"""A stream of pictures for plain code: one thread takes the caller's pictures, one talks with the service."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import grpc

from trunkline.api.vision.v1 import vision_service_pb2 as pb
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


class Stream:
    """One stream, with at most `in_flight` pictures that were taken from the caller and not handed back answered."""

    def __init__(
        self,
        target: str,
        open_call: Callable[[Iterator[pb.AnalyzeStreamRequest]], Any],
        conversation: Conversation,
        in_flight: int,
    ) -> None:
        self._target = target
        self._open_call = open_call
        self._conversation = conversation
        self._places = threading.Semaphore(in_flight)
        self._changed = threading.Condition()  # guards all below, and the conversation
        self._call: Any = None
        self._fed = self._closed = False
        # None is the end.
        self._heard: queue.SimpleQueue[Told | PictureAnswer | Exception | None] = queue.SimpleQueue()

    def answers(
        self, pictures: Iterable[PictureLike], patience_s: float, on_outcome: OnOutcome | None
    ) -> Generator[PictureAnswer, None, None]:
        """One for each picture, in the order in which they are ready."""
        for work in (lambda: self._feed(pictures), lambda: self._talk(patience_s)):
            threading.Thread(target=work, name="analyze-stream", daemon=True).start()
        try:
            while (heard := self._heard.get()) is not None:
                if isinstance(heard, Exception):
                    raise heard
                if isinstance(heard, PictureAnswer):
                    yield heard
                    self._places.release()
                elif on_outcome is not None:
                    on_outcome(heard.key, heard.outcome)
        finally:
            self._close()

    def _close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if self._call is not None:
                self._call.cancel()
        self._places.release()

    def _feed(self, pictures: Iterable[PictureLike]) -> None:
        try:
            for number, picture in enumerate(pictures):
                self._places.acquire()
                if self._closed:
                    return
                self._add(*keyed(number, picture))
        except Exception as error:  # of the caller's own iterator
            self._heard.put(error)
        with self._changed:
            self._fed = True
            self._changed.notify_all()

    def _add(self, key: Any, picture: ImageLike) -> None:
        try:
            data = encode_image(picture)
        except (OSError, ServiceError) as error:
            self._heard.put(unreadable(key, error))
        else:
            with self._changed:
                self._conversation.ask(key, data)
                self._changed.notify_all()

    def _talk(self, patience_s: float) -> None:
        patience = Patience(self._target, patience_s, explained, patient_at_first=False)
        while not self._closed:
            patience.calls()
            try:
                self._one_call(patience)
            except grpc.RpcError as error:
                try:
                    patience.broke(error)
                except ServiceError as final:
                    return self._heard.put(final)
                time.sleep(PAUSE_S)
            except Exception as error:
                return self._heard.put(error)
            else:
                whole = self._fed and self._conversation.answered
                return self._heard.put(None if whole else ended_early(self._target))
        return None

    def _one_call(self, patience: Patience) -> None:
        over = threading.Event()
        call = self._open_call(self._requests(over))
        with self._changed:
            self._call = call
            if self._closed:
                call.cancel()
        try:
            for message in call:
                patience.heard()
                with self._changed:
                    heard = self._conversation.take(message)
                if heard is not None:
                    self._heard.put(heard)
        finally:
            with self._changed:
                over.set()
                self._changed.notify_all()
            call.cancel()

    def _requests(self, over: threading.Event) -> Iterator[pb.AnalyzeStreamRequest]:
        """For gRPC, which takes the next one once it can send it."""
        sent = 0
        while True:
            with self._changed:
                while (found := self._conversation.next_after(sent)) is None and not (
                    self._fed or self._closed or over.is_set()
                ):
                    self._changed.wait()
                if found is None or self._closed or over.is_set():
                    return
            sent, request = found
            yield request

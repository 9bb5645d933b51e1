"""Messages from the wire to objects: bounded in size and time, counted against the budget, parsed beside the loop."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from trunkline.core.errors import ImageTooLargeError, InvalidRequestError
from trunkline.serving.aside import aside
from trunkline.serving.budget import COPIES, ByteBudget, Hold
from trunkline.serving.limits import check_message
from trunkline.serving.receipts import Receipts
from trunkline.serving.wire_scan import MOST_STRUCTURE_BYTES, check_structure

Parse = Callable[[bytes], Any] | None
_PICTURE = "trunkline.api.vision.v1.Image"
_TENSORS = ("trunkline.api.inference.", "inference.")  # services whose messages hold tensors
_INLINE_BYTES = 1024 * 1024  # copying so much takes less than handing it to a thread and back
_TINY_BYTES = 4096  # so that health checks are answered whatever the budget says


@dataclass(frozen=True)
class Rules:
    """What a message of a method may be. `of` is None for a method that nothing is known of.

    max_image_bytes: of each picture in it; None where it holds none.
    """

    limit_bytes: int
    of: Descriptor | None = None
    max_image_bytes: int | None = None


def rules_of(method: str, max_image_bytes: int, max_message_bytes: int) -> Rules:
    """Of a method by its name, as /PACKAGE.SERVICE/METHOD. The limit follows from the pictures in its request."""
    name = method.strip("/")
    try:
        of = descriptor_pool.Default().FindMethodByName(name.replace("/", ".")).input_type
    except KeyError:
        return Rules(MOST_STRUCTURE_BYTES)
    if name.startswith(_TENSORS):
        return Rules(max_message_bytes, of)
    pictures = sum(field.message_type is not None and field.message_type.full_name == _PICTURE for field in of.fields)
    limit_bytes = min(pictures * max_image_bytes + MOST_STRUCTURE_BYTES, max_message_bytes)
    return Rules(limit_bytes, of, max_image_bytes if pictures else None)


class Receiver:
    """Reads the messages of calls. For the event loop of the process.

    budget: of requests. answers: of those that nobody has read yet, so that who reads none takes no more than that.
    """

    def __init__(self, budget: ByteBudget, answers: ByteBudget) -> None:
        self.budget, self.answers = budget, answers
        self.receipts = Receipts(budget)

    async def only(self, context: Any, parse: Parse, rules: Rules, held: Hold) -> Any:
        """The one message of a call; its bytes are held until the call ends.

        Raises InvalidRequestError for bytes that are no such message and beyond a limit, MemoryFullError.
        """
        data = await self._read(context, rules, timed=True)
        if data is None:
            raise InvalidRequestError("the call ended without a message")
        if len(data) > _TINY_BYTES:
            _check_size(data, rules)
            held.add(COPIES * len(data))
        message = await self._parsed(data, parse, rules)
        if isinstance(message, Message):
            check_message(message)
        return message

    async def each(self, context: Any, parse: Parse, rules: Rules) -> AsyncIterator[Any]:
        """The messages of a stream, read only while there is room for more.

        What else a message may be is for who answers it, as it costs its own answer and not the stream. Raises
        InvalidRequestError for bytes that are no such message.
        """
        while True:
            await self.budget.room()
            data = await self._read(context, rules, timed=False)
            if data is None:
                return
            yield await self._parsed(data, parse, rules)

    async def close(self) -> None:
        await self.receipts.stop()

    async def _read(self, context: Any, rules: Rules, *, timed: bool) -> bytes | None:
        receipt = await self.receipts.begin(context, rules.limit_bytes, timed=timed)
        try:
            data = await context.read()
            if data is grpc.aio.EOF:
                return None
            self.receipts.received(receipt, len(data))
            return data  # type: ignore[no-any-return]
        finally:
            self.receipts.end(receipt)

    async def _parsed(self, data: bytes, parse: Parse, rules: Rules) -> Any:
        if rules.of is not None:
            check_structure(data, rules.of)
        if parse is None:
            return data
        try:
            return parse(data) if len(data) <= _INLINE_BYTES else await aside(parse, data)
        except (DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequestError("the bytes of the request are not a message of this method") from error


def _check_size(data: bytes, rules: Rules) -> None:
    if len(data) <= rules.limit_bytes:
        return
    if rules.max_image_bytes is not None:
        raise ImageTooLargeError(
            f"the request has {len(data)} bytes; the limit of a picture is {rules.max_image_bytes}",
            bytes=len(data),
            limit_bytes=rules.max_image_bytes,
        )
    raise InvalidRequestError(
        f"the request has {len(data)} bytes; the limit of this method is {rules.limit_bytes}",
        bytes=len(data),
        limit_bytes=rules.limit_bytes,
    )

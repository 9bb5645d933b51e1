"""An input of a fuzzer as one file: a line of JSON that says what to do, and the bytes to do it with."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """`header` is JSON; `parts` are messages, files, or the pieces of a request."""

    header: dict[str, Any]
    parts: list[bytes] = field(default_factory=list)

    def pack(self) -> bytes:
        header = json.dumps({**self.header, "lengths": [len(part) for part in self.parts]})
        return header.encode() + b"\n" + b"".join(self.parts)


def unpack(data: bytes) -> Case:
    line, _, rest = data.partition(b"\n")
    header = json.loads(line)
    parts = []
    for length in header.pop("lengths"):
        parts.append(rest[:length])
        rest = rest[length:]
    return Case(header, parts)

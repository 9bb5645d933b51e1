"""Folders of files as inputs: good ones with something wrong in the texts, the bytes, or in what is where."""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.fuzz.case import Case
from tests.fuzz.values import NUMBERS, TEXTS, mutated

Files = Mapping[str, bytes]
_MOST_BYTES = 32 * 1024 * 1024
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_.]{1,40}")
_TEXTS = (".json", ".csv", ".txt", ".xml", ".yaml", ".md", ".names", ".jsonl")


def made(dice: Random, header: dict[str, object], files: Files) -> bytes:
    """An input whose files are these, up to three of them changed."""
    entries = [[name, "file"] for name in sorted(files)]
    parts = [files[name] for name, _ in entries]
    for _ in range(dice.choice((1, 1, 2, 3))):
        place = _place(dice, entries)
        if dice.random() < 0.12:
            entries[place][1], parts[place] = _odd_entry(dice)
        elif entries[place][1] == "file":
            changed = _changed(dice, entries[place][0], parts[place])
            # One change may be made larger by the next; an input takes memory that is no fault of who reads it.
            parts[place] = changed if len(changed) <= _MOST_BYTES else parts[place]
    return Case({**header, "entries": entries}, parts).pack()


@contextmanager
def laid_out(case: Case) -> Iterator[Path]:
    """The folder, until the end."""
    with tempfile.TemporaryDirectory(prefix="trunkline-fuzz-") as name:
        root = Path(name)
        for (path, kind), part in zip(case.header["entries"], case.parts, strict=True):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            match kind:
                case "file":
                    target.write_bytes(part)
                case "link":
                    target.symlink_to(part.decode())
                case "folder":
                    target.mkdir()
                case "fifo":
                    os.mkfifo(target)
        yield root


def _place(dice: Random, entries: list[list[str]]) -> int:
    """More often a text than a picture."""
    texts = [place for place, (name, _) in enumerate(entries) if name.endswith(_TEXTS)]
    return dice.choice(texts) if texts and dice.random() < 0.75 else dice.randrange(len(entries))


def _odd_entry(dice: Random) -> tuple[str, bytes]:
    return dice.choice(
        (("missing", b""), ("folder", b""), ("fifo", b""), ("link", b"/etc/passwd"), ("link", b"/dev/zero"),
         ("link", b"."), ("link", b"nowhere"), ("link", b"/proc/self/mem"))
    )  # fmt: skip


def _changed(dice: Random, name: str, data: bytes) -> bytes:
    if not name.endswith(_TEXTS) or dice.random() < 0.25:
        return mutated(dice, data)
    changes = [_other_number, _other_word, _other_word, _twice, _long, _wide]
    if name.endswith((".json", ".jsonl")):
        changes += [_other_json, _other_json, _deep_json]
    if name.endswith(".yaml"):
        changes += [_aliases, _deep_json]
    if name.endswith(".xml"):
        changes += [_entities, _deep_xml]
    return dice.choice(changes)(dice, data)


def _other_number(dice: Random, data: bytes) -> bytes:
    return _replaced(dice, data, _NUMBER, dice.choice(NUMBERS))


def _other_word(dice: Random, data: bytes) -> bytes:
    return _replaced(dice, data, _WORD, dice.choice(TEXTS).encode("utf-8", "surrogatepass"))


def _replaced(dice: Random, data: bytes, pattern: re.Pattern[bytes], value: bytes) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data + value
    chosen = dice.choice(found)
    return data[: chosen.start()] + value + data[chosen.end() :]


def _twice(dice: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True) or [b"\n"]
    at = dice.randrange(len(lines))
    return b"".join([*lines[:at], *[lines[at]] * dice.choice((2, 3, 3000)), *lines[at + 1 :]])


def _long(dice: Random, data: bytes) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + b"a" * dice.choice((300, 5000, 300_000)) + data[at:]


def _wide(dice: Random, data: bytes) -> bytes:
    """A first line of very many columns."""
    first, _, rest = data.partition(b"\n")
    return first + b"".join(b",c%d" % number for number in range(dice.choice((10, 3000, 100_000)))) + b"\n" + rest


def _other_json(dice: Random, data: bytes) -> bytes:
    """Another kind of value somewhere in the document."""
    odd = (None, True, -1, 0, 1e308, 2**70, "", "x", [], {}, [[]], [1, "a", None], {"a": []}, 0.5, "a" * 5000)
    try:
        document = json.loads(data)
    except ValueError:
        return mutated(dice, data)
    holders = [each for each in _all(document) if isinstance(each, dict | list) and each]
    if not holders:
        return json.dumps(dice.choice(odd)).encode()
    holder = dice.choice(holders)
    key = dice.choice(list(holder)) if isinstance(holder, dict) else dice.randrange(len(holder))
    if dice.random() < 0.2:
        del holder[key]
    else:
        holder[key] = dice.choice(odd)
    return json.dumps(document).encode()


def _all(value: object) -> Iterator[object]:
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _all(each)


def _deep_json(dice: Random, data: bytes) -> bytes:
    depth = dice.choice((100, 5000, 200_000))
    begin, end = dice.choice(((b"[", b"]"), (b'{"a":', b"}")))
    at = dice.randrange(len(data) + 1)
    return data[:at] + begin * depth + end * dice.choice((0, depth)) + data[at:]


def _aliases(dice: Random, data: bytes) -> bytes:
    """Nine levels of nine aliases: 400 million values if they were written out."""
    levels = dice.choice((3, 9, 12))
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)]
    tail = dice.choice(("", f"names: *a{levels - 1}\n", f"train: *a{levels - 1}\n"))
    return data + "\n".join(["", *lines, tail]).encode()


def _entities(dice: Random, data: bytes) -> bytes:
    levels = dice.choice((3, 10))
    inner = "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, levels))
    outside = dice.choice(("", '<!ENTITY f SYSTEM "file:///etc/passwd">'))
    head = f'<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY e0 "haha">{inner}{outside}]>'
    return head.encode() + _WORD.sub(dice.choice((b"&e2;", b"&e9;", b"&f;")), data, count=dice.randint(0, 3))


def _deep_xml(dice: Random, data: bytes) -> bytes:
    depth = dice.choice((100, 5000, 100_000))
    at = data.find(b"<object>") if dice.random() < 0.5 else len(data)
    return data[:at] + b"<part>" * depth + b"</part>" * dice.choice((0, depth)) + data[at:]

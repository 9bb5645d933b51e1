"""Values at the edge of what a type can hold, texts that were never thought of, and bytes with something wrong."""

import math
from random import Random

INTEGERS = (0, 1, -1, 2, 3, 7, 31, 32, 63, 64, 65, 255, 256, 1000, 4096, 65_535, 65_536, 2**31 - 1, -(2**31))
LONG = (2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, -(2**63), 2**64 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-300, 1e300, 3.5e38, math.inf, -math.inf, math.nan)
TEXTS = (
    "", " ", "a", "A b", "é", "日本", "\u202eabc", "a\u0000b", "\ud7ff\U0001f600", "a\nb", "\x7f", "../../etc/passwd",
    "/etc/passwd", "~", ".", "..", "*", "%s%n{}", "{0.__class__}", "' or 1=1 --", "$(id)", "<a>&amp;", "nan", "-1",
    "0", "1", "1e309", "true", "null", "latest", "x" * 63, "x" * 64, "x" * 255, "x" * 256, "x" * 4096,
)  # fmt: skip
NUMBERS = (
    b"0",
    b"-1",
    b"1e309",
    b"nan",
    b"inf",
    b"-0.0",
    b"99999999999999999999",
    b"0x10",
    b"",
    b"1_0",
    b"1.5",
    b"2",
)
PIECES = (b"\x00", b"\xff", b"\x00" * 16, b"\xff" * 8, b"\r\n", b"\r\n\r\n", b"[" * 40, b"{" * 40, b"\xef\xbb\xbf",
          b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xc3\x28", b"\xed\xa0\x80", b"\xf5\x80\x80\x80")  # fmt: skip


def integer(dice: Random, low: int, high: int) -> int:
    value = dice.choice(INTEGERS + LONG) if dice.random() < 0.6 else dice.randint(0, 20)
    return min(max(value, low), high)


def number(dice: Random) -> float:
    return dice.choice(FLOATS) if dice.random() < 0.6 else dice.uniform(-2, 2)


def text(dice: Random) -> str:
    if dice.random() < 0.01:
        return "y" * dice.choice((5_000, 20_000, 200_000))
    return dice.choice(TEXTS)


def mutated(dice: Random, data: bytes, most: int = 4) -> bytes:
    """The bytes with 1 to `most` things wrong: turned bits, other bytes, pieces cut out, put in, doubled, moved."""
    found = bytearray(data)
    for _ in range(dice.randint(1, most)):
        at = dice.randrange(len(found) + 1)
        length = dice.choice((1, 2, 4, 16, 256))
        match dice.randrange(6):
            case 0 if found:
                found[at % len(found)] ^= 1 << dice.randrange(8)
            case 1 if found:
                found[at % len(found)] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
            case 2:
                del found[at : at + length]
            case 3:
                found[at:at] = dice.choice(PIECES)
            case 4:
                found[at:at] = found[at : at + length]
            case _:
                del found[at:]
        if dice.random() < 0.05:
            break
    return bytes(found)

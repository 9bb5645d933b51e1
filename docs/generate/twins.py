"""The clients for plain code, from those for asyncio: the same methods without awaiting.

What differs otherwise, such as the two streams of pictures, has a module for each, with the same names but for Async.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "services/trunkline/client"
_RUFF = Path(sys.executable).with_name("ruff")
_FROM: Mapping[str, str] = {
    "sync.py": "aio.py",
    "catalog.py": "catalog_aio.py",
    "galleries.py": "galleries_aio.py",
    "training.py": "training_aio.py",
}
_ABOUT: Mapping[str, str] = {
    "sync.py": "The client for plain code.",
    "catalog.py": """The catalog for plain code, on the port of the gateway.

with CatalogClient("127.0.0.1:8500") as catalog:
    catalog.promote("flowers", 2)
""",
    "galleries.py": """The client of galleries, for plain code.

with GalleryClient("127.0.0.1:8500") as galleries:
    galleries.create("pets", head="pets")
    for answer in galleries.add("pets", [GalleryImage("beagle.jpg", "beagle")]):
        print(answer.id, answer.status or answer.error)
    print(galleries.search("pets", "dog.jpg").matches)
""",
    "training.py": "The client of the training service, for plain code.",
}
_WAITED = re.compile(r"\(await ((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*)\)(?=[.\[])")  # (await x).y
_RULES = (
    (r"\beach_of\((\w+)\)", r"\1"),
    (r"Iterable\[(\w+)\] \| AsyncIterable\[\1\]", r"Iterable[\1]"),
    (r"from trunkline\.client\.stream_aio import [^\n]*", "from trunkline.client.stream_sync import Stream"),
    (r"import ImageLike\n", "import ImageLike, encode_image\n"),
    (r"Conversation, OnOutcome\n", "Conversation, OnOutcome, PictureLike\n"),
    (r"import AsyncIterator", "import AsyncIterator, Iterable"),
    (r"\bPictures\b", "Iterable[PictureLike]"),
    (r"\bencoded\(", "encode_image("),
    (r"\btask_methods_aio\b", "task_methods"),
    (r"\bopen_aio\b", "open_sync"),
    (r"\bgrpc\.aio\.", "grpc."),
    (r"\bcontextlib\.aclosing\b", "contextlib.closing"),
    (r"\bimport asyncio\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\basync (?=def|for|with)", ""),
    (r"\bawait ", ""),
    (r"for (\w+) in (\w+):\n +yield \1\n", r"yield from \2\n"),
    (r"Make it inside the event loop\.", "May be shared between threads."),
)


def files() -> dict[str, str]:
    """Text by file name."""
    return {name: _twin(name, (FOLDER / source).read_text(encoding="utf-8")) for name, source in _FROM.items()}


def write() -> None:
    """Write them all."""
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _twin(name: str, text: str) -> str:
    while (shorter := _WAITED.sub(r"await \1", text)) != text:
        text = shorter
    for pattern, replacement in _RULES:
        text = re.sub(pattern, replacement, text)
    top = f'"""{_ABOUT[name]}"""\n\n# From {_FROM[name]}, by python -m docs.generate: change that one.'
    text = re.sub(r'\A""".*?"""', lambda _: top, text, flags=re.DOTALL)
    place = str(FOLDER / name)
    fixed = _ruff(["check", "--quiet", "--fix-only", "--select", "I,F401,F811", "--stdin-filename", place, "-"], text)
    return _ruff(["format", "--quiet", "--stdin-filename", place, "-"], fixed)


def _ruff(arguments: list[str], text: str) -> str:
    return subprocess.run([_RUFF, *arguments], input=text, capture_output=True, text=True, check=True).stdout

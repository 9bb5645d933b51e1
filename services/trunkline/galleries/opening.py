"""Opens the database of galleries when it is there or needed: most services have no gallery."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trunkline.core.errors import ConfigurationError, NotFoundError, ServiceUnavailableError
from trunkline.core.exchange import HeadInfo, HeadRunner
from trunkline.galleries.service import Galleries

_SQLITE: Final = "sqlite:///"
_RETRY_S: Final = 5.0
_log = logging.getLogger(__name__)


class Opening:
    """The galleries of a process. A SQLite file is not made before a gallery is."""

    def __init__(self, url: str, open_now: Callable[[], Galleries]) -> None:
        """open_now: takes a while, runs in a thread, and raises ConfigurationError."""
        self._url = url
        self._open_now = open_now
        self._galleries: Galleries | None = None
        self._lock = asyncio.Lock()

    async def galleries(self) -> Galleries:
        """Raises ServiceUnavailableError where they cannot be opened."""
        if self._galleries is None:
            async with self._lock:
                if self._galleries is None:
                    self._galleries = await self._opened()
        return self._galleries

    def head(self, name: str) -> tuple[HeadInfo, HeadRunner]:
        """Who answers for gallery:NAME. Raises NotFoundError, ServiceUnavailableError."""
        if self._galleries is not None:
            return self._galleries.head(name)
        if self._there:
            raise ServiceUnavailableError("the galleries are being opened: try again")
        raise NotFoundError(f"there is no gallery {name!r}, nor any other", gallery=name)

    async def open_if_there(self) -> None:
        """So that what is there answers from the start. What goes wrong is tried again by follow()."""
        if self._there:
            try:
                await self.galleries()
            except ServiceUnavailableError as error:
                _log.warning("%s", error)

    async def follow(self, every_s: float) -> None:
        """Until it is cancelled: open what appears, and keep it up to date."""
        while self._galleries is None:
            await asyncio.sleep(every_s)
            await self.open_if_there()
            if self._galleries is None and self._there:
                await asyncio.sleep(_RETRY_S)
        await self._galleries.follow(every_s)

    async def close(self) -> None:
        if self._galleries is not None:
            await self._galleries.close()

    @property
    def _there(self) -> bool:
        return not self._url.startswith(_SQLITE) or Path(self._url.removeprefix(_SQLITE)).exists()

    async def _opened(self) -> Galleries:
        try:
            made = await asyncio.to_thread(self._open_now)
        except ConfigurationError as error:
            raise ServiceUnavailableError(error.message) from error
        await made.look()
        return made

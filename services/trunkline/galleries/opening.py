"""Opens the database of galleries when it is there or needed: most services have no gallery."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from trunkline.core.errors import ConfigurationError, ServiceUnavailableError
from trunkline.core.exchange import HeadInfo, HeadRunner
from trunkline.galleries.service import Galleries
from trunkline.galleries.store import no_such_gallery

_SQLITE: Final = "sqlite:///"


class Opening:
    """The galleries of a process. A SQLite file is not made before a gallery is."""

    def __init__(self, url: str, open_now: Callable[[], Galleries]) -> None:
        """open_now: takes a while, runs in a thread, asks no database, and raises ConfigurationError."""
        self._url = url
        self._open_now = open_now
        self._galleries: Galleries | None = None
        self._lock = asyncio.Lock()

    async def galleries(self) -> Galleries:
        """Raises ServiceUnavailableError where they cannot be opened, whatever the state of the database is."""
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
        raise no_such_gallery(name)

    async def look(self) -> None:
        """Open what is there, and see whether it can be used. Raises ServiceUnavailableError where it cannot."""
        if self._there:
            await (await self.galleries()).look()

    async def follow(self, every_s: float) -> None:
        """Until it is cancelled: keep what is open up to date."""
        while self._galleries is None:  # noqa: ASYNC110 - look() and calls open it
            await asyncio.sleep(every_s)
        await self._galleries.follow(every_s)

    async def close(self) -> None:
        if self._galleries is not None:
            await self._galleries.close()

    @property
    def _there(self) -> bool:
        # Also a link to nothing: its disk may be away, and is then asked for by name.
        return (
            self._galleries is not None
            or not self._url.startswith(_SQLITE)
            or os.path.lexists(self._url.removeprefix(_SQLITE))
        )

    async def _opened(self) -> Galleries:
        try:
            made = await asyncio.to_thread(self._open_now)
        except ConfigurationError as error:
            raise ServiceUnavailableError(error.message) from error
        with suppress(ServiceUnavailableError):  # each call says so itself, and follow() looks again
            await made.look()
        return made

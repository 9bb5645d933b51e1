"""How much one identity may take, and what it has taken."""

import time
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from trunkline.core.errors import QuotaError

_BURST_S: Final = 1.0  # what may come at once after a pause: that of one second, and at least one call


class Quota(BaseModel):
    """Limits of one identity; None for none. Those of galleries and jobs are counted in the database."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls_per_s: float | None = Field(None, gt=0)
    calls_in_flight: int | None = Field(None, ge=1)
    pixels_per_s: float | None = Field(None, gt=0)
    galleries: int | None = Field(None, ge=0)
    gallery_images: int | None = Field(None, ge=0)
    gallery_mib: int | None = Field(None, ge=0)
    jobs_queued: int | None = Field(None, ge=0)
    jobs_running: int | None = Field(None, ge=0)

    @property
    def meters_calls(self) -> bool:
        """Whether its calls are counted in the process that takes them."""
        return not self.calls_per_s is self.calls_in_flight is self.pixels_per_s is None


class Bucket:
    """Tokens that come back at a rate, up to those of a burst. For one thread."""

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(1.0, rate * _BURST_S)
        self._left, self._at = self._most, time.monotonic()

    def wait_s(self) -> float:
        """Seconds until there is a token; 0 where there is one."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (min(1.0, self._most) - self._left) / self._rate)

    def take(self, count: float = 1.0) -> None:
        """Below zero, too: what is taken then is paid by those who come next."""
        self._left -= count


class Meter:
    """The calls of one identity in this process."""

    def __init__(self, name: str, quota: Quota) -> None:
        self._name, self._quota = name, quota
        self._calls = None if quota.calls_per_s is None else Bucket(quota.calls_per_s)
        self._pixels = None if quota.pixels_per_s is None else Bucket(quota.pixels_per_s)
        self._in_flight = 0

    def enter(self) -> None:
        """A call begins. Raises QuotaError."""
        most = self._quota.calls_in_flight
        if most is not None and self._in_flight >= most:
            raise self._refused(f"{most} calls at a time", _BURST_S / 10)
        self.count()
        self._in_flight += 1

    def leave(self) -> None:
        """It has ended."""
        self._in_flight -= 1

    def count(self) -> None:
        """A call, or a picture of a stream. Raises QuotaError."""
        for bucket, what in (
            (self._calls, f"{self._quota.calls_per_s:g} calls a second" if self._calls else ""),
            (self._pixels, f"{self._quota.pixels_per_s:g} pixels a second" if self._pixels else ""),
        ):
            if bucket is not None and (wait_s := bucket.wait_s()) > 0:
                raise self._refused(what, wait_s)
        if self._calls is not None:
            self._calls.take()

    def saw(self, pixels: int) -> None:
        """A picture was decoded."""
        if self._pixels is not None:
            self._pixels.take(pixels)

    def _refused(self, what: str, wait_s: float) -> QuotaError:
        return QuotaError(
            f"{self._name!r} may make {what}: try again in {wait_s:.2g} s", retry_after_s=wait_s, identity=self._name
        )

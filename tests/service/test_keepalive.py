"""Pings of clients that have no call open, as Go services and load balancers are set: allowed, and not in a flood."""

import asyncio

import pytest

from tests.service.http2 import Http2
from trunkline.testing import serve

pytestmark = pytest.mark.asyncio
_ENHANCE_YOUR_CALM = 11
_STRIKES = 2  # pings that come too soon and cost nothing yet; counted only where no data lies between
HEALTH = b"/grpc.health.v1.Health/Check"


def idle(address: str, pings: int, each_s: float) -> Http2:
    """A connection after one call and so many pings."""
    with Http2(address) as caller:
        caller.send(caller.begin(HEALTH), b"")
        caller.run(10, until=1)
        for _ in range(pings):
            if caller.is_closed or caller.goodbye:
                break
            caller.ping()
            caller.run(each_s)
        return caller


@pytest.mark.slow
async def test_an_idle_connection_may_ping_as_often_as_a_busy_one():
    async with serve(heads=("imagenet",)) as host:
        caller = await asyncio.to_thread(idle, host.address, _STRIKES + 3, 5.3)
    assert caller.goodbye is None
    assert caller.pongs == _STRIKES + 3


async def test_a_flood_of_pings_ends_the_connection():
    async with serve(heads=("imagenet",)) as host:
        caller = await asyncio.to_thread(idle, host.address, 50, 0.02)
    assert caller.goodbye == (_ENHANCE_YOUR_CALM, b"too_many_pings")
    assert caller.pongs < 10

"""Processes that speak for callers: the HTTP port for those who asked it, a gateway to the services behind it."""

import json
from functools import lru_cache
from typing import Final

from trunkline.serving.security.callers import Caller, Role
from trunkline.serving.security.quota import Quota

PEER: Final = "trunkline-peer"  # metadata: the secret of processes that belong together
BEHALF: Final = "trunkline-behalf"  # and, of a peer alone: for whom it calls,
FROM: Final = "trunkline-from"  # and, of the HTTP port of the same process: from which address he asked it
_LONGEST: Final = 16 * 1024


@lru_cache(maxsize=1024)
def behalf_of(caller: Caller | None) -> tuple[tuple[str, str], ...]:
    """Metadata of a call that is made for this caller."""
    if caller is None:
        return ()
    said = {
        "name": caller.name,
        "roles": sorted(caller.roles),
        "scopes": caller.scopes,
        "quota": caller.quota.model_dump(exclude_none=True),
    }
    return ((BEHALF, json.dumps(said)),)


def caller_in(said: str) -> Caller:
    """For whom a peer calls. Raises ValueError, also for who would be a peer himself."""
    if len(said) > _LONGEST:
        raise ValueError("it is too long")
    found = json.loads(said)
    roles = frozenset(map(Role, found["roles"]))
    if Role.PEER in roles:
        raise ValueError("a peer calls for itself")
    return Caller(str(found["name"]), roles, tuple(map(str, found["scopes"])), Quota.model_validate(found["quota"]))

"""Keys of callers: made, listed by what is known of them, and taken away."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from trunkline.core.errors import InvalidRequestError, NotFoundError
from trunkline.core.text import listed, shown
from trunkline.serving.security.access_file import NAME, Identity, Key, changing_access, read_access
from trunkline.serving.security.callers import Role

PREFIX: Final = "tlk_"  # so that scanners of secrets, and people, know one when they see it
_BYTES: Final = 32


def digest_of(key: str) -> bytes:
    """SHA-256. A key is 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def new_key(
    path: Path, identity: str, roles: Sequence[Role], scopes: Sequence[str], days: float | None
) -> tuple[str, Key]:
    """A key for an identity, which is made where there is none of this name; and what the file keeps of it.

    roles, scopes: those of a new identity; of one that is there none, or the same. Raises InvalidRequestError.
    """
    if not re.fullmatch(NAME, identity):
        raise InvalidRequestError(f"{shown(identity)!r} is no name: use letters, digits and ._@:/+-, at most 128")
    text = PREFIX + secrets.token_urlsafe(_BYTES)
    now = datetime.now(UTC).replace(microsecond=0)
    with changing_access(path) as held:
        access = held[0]
        known = access.identities.get(identity)
        if known is None:
            if not roles:
                raise InvalidRequestError(f"{shown(identity)!r} is new: give its roles, such as --role infer")
            known = Identity.model_validate({"roles": roles, **({"scopes": scopes} if scopes else {})})
        elif (roles and known.roles != set(roles)) or (scopes and set(known.scopes) != set(scopes)):
            raise InvalidRequestError(
                f"{identity!r} has the roles {listed(sorted(known.roles))} and the scopes {listed(known.scopes)}: "
                f"leave out --role and --scope, or change them in {path}"
            )
        expires = None if days is None else now + timedelta(days=days)
        key = Key(identity=identity, sha256=digest_of(text).hex(), created=now, expires=expires)
        held[0] = access.model_copy(
            update={"identities": {**access.identities, identity: known}, "keys": (*access.keys, key)}
        )
    return text, key


def keys_of(path: Path) -> Sequence[tuple[Key, Identity]]:
    """All of a file, those of one identity together."""
    access = read_access(path)
    return [(key, access.identities[key.identity]) for key in sorted(access.keys, key=lambda key: key.identity)]


def revoke(path: Path, id_or_identity: str) -> Sequence[Key]:
    """Take a key away by its id, or all keys of an identity. Raises NotFoundError."""
    with changing_access(path) as held:
        access = held[0]
        gone = [key for key in access.keys if id_or_identity in (key.id, key.identity)]
        if not gone:
            raise NotFoundError(f"{path} has no key {shown(id_or_identity)!r}; trunkline keys list shows all")
        held[0] = access.model_copy(update={"keys": tuple(key for key in access.keys if key not in gone)})
    return gone

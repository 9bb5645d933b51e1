"""Access files for tests: an identity for each role, each with a key."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trunkline.client import Credentials
from trunkline.serving.security.callers import Role
from trunkline.serving.security.keys import digest_of

ROLES = tuple(role.value for role in Role if role is not Role.PEER)


def key_of(name: str) -> str:
    """The key of an identity of these files."""
    return f"tlk_{name}-{'0' * 32}"


def credentials_of(name: str) -> Credentials:
    return Credentials(token=key_of(name))


def write_access(path: Path, identities: dict[str, dict[str, Any]], **more: Any) -> Path:
    """A file with a key for each identity; `more` are further parts of it."""
    now = datetime.now(UTC).isoformat()
    keys = [{"identity": name, "sha256": digest_of(key_of(name)).hex(), "created": now} for name in identities]
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"identities": identities, "keys": keys, **more}))
    fresh.replace(path)
    return path


def access_of_roles(path: Path) -> Path:
    """An identity for each role, named like it, and one with none."""
    return write_access(path, {**{role: {"roles": [role]} for role in ROLES}, "nobody": {"roles": []}})

"""The file of TRUNKLINE_ACCESS_FILE: who there is, what they may do, and how they show who they are."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from trunkline.core.errors import ConfigurationError
from trunkline.core.files import MIB, read_regular
from trunkline.serving.security.callers import EVERYTHING, Caller, Role
from trunkline.serving.security.quota import Quota

MOST_BYTES: Final = 64 * MIB
ALGORITHMS = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._@:/+-]{0,127}"
Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
_ID = 12  # characters of a digest that name a key


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Identity(_Part):
    """certificates: SPIFFE ids, DNS names and the like in a certificate. subjects: `sub` of tokens, with * and ?."""

    roles: frozenset[Role]
    scopes: tuple[str, ...] = EVERYTHING
    quota: Quota = Quota()
    certificates: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()


class Key(_Part):
    """A key is known by its SHA-256 alone."""

    identity: Name
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    created: datetime
    expires: datetime | None = None

    @property
    def id(self) -> str:
        return self.sha256[:_ID]

    @property
    def has_expired(self) -> bool:
        return self.expires is not None and self.expires <= datetime.now(UTC)


class Issuer(_Part):
    """Whose JWTs are taken. jwks: a file, or a URL with https, with the public keys."""

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    jwks: str = Field(min_length=1)
    algorithms: tuple[ALGORITHMS, ...] = ("RS256", "ES256")

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if "://" in self.jwks and not self.jwks.startswith("https://"):
            raise ValueError(f"jwks {self.jwks!r} is neither a file nor a URL with https")
        return self


class Access(_Part):
    """All of it."""

    identities: dict[Name, Identity] = Field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    reflection: Literal["off", "auth", "on"] = "auth"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for key in self.keys:
            if key.identity not in self.identities:
                raise ValueError(f"key {key.id} is of {key.identity!r}, which is no identity of this file")
        return self

    def callers(self) -> dict[str, Caller]:
        """By name."""
        return {name: Caller(name, found.roles, found.scopes, found.quota) for name, found in self.identities.items()}


def read_access(path: Path) -> Access:
    """Raises ConfigurationError for a file that cannot be read, or is damaged; nothing of a key is in its text."""
    try:
        return Access.model_validate_json(read_regular(path, MOST_BYTES))
    except OSError as error:
        raise ConfigurationError(f"the access file {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        text = fault["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"the access file {path} is damaged: {where}: {text}") from None


@contextmanager
def changing_access(path: Path) -> Iterator[list[Access]]:
    """What is in the file, an empty one where there is none, as the one item of a list; what is there at the end is
    written, whole or not at all. One change goes after the other. Raises ConfigurationError.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigurationError(f"there is no folder {path.parent} for the access file: make it first") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        before = read_access(path) if path.exists() else Access()
        held = [before]
        yield held
        if held[0] != before:
            _write(path, held[0])
    finally:
        os.close(folder)


def _write(path: Path, access: Access) -> None:
    document = access.model_dump(mode="json", exclude_defaults=True)
    for identity in document.get("identities", {}).values():
        identity["roles"] = sorted(identity["roles"])
    fresh = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if path.exists():  # who could read it, such as the service, still can
                before = path.stat()
                os.fchmod(descriptor, before.st_mode & 0o777)
                with suppress(PermissionError):
                    os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(json.dumps(document, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise ConfigurationError(f"the access file {path} cannot be written: {error.strerror}") from error

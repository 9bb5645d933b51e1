"""Says of each call who makes it, and whether they may; the one place that does."""

import hmac
import logging
import time
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from trunkline.core.errors import (
    ConfigurationError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from trunkline.core.text import listed
from trunkline.serving.parent import peer_key
from trunkline.serving.security.access_file import Access, read_access
from trunkline.serving.security.callers import Admission, Caller, Role, begin_as
from trunkline.serving.security.keys import digest_of
from trunkline.serving.security.methods import Need
from trunkline.serving.security.peers import BEHALF, PEER, caller_in
from trunkline.serving.security.quota import Meter, Quota
from trunkline.serving.security.record import Record
from trunkline.serving.security.tokens import Tokens
from trunkline.serving.security.watched import state_of
from trunkline.serving.settings import Settings

AUTHORIZATION: Final = "authorization"
_NEVER: Final = float("inf")
_MOST_KEPT = 1024  # callers that peers have spoken for
_OWN: Final = Caller("this service", frozenset({Role.PEER}))
_NAMES_IN_CERTIFICATES: Final = ("x509_subject_alternative_name", "peer_spiffe_id")
_log = logging.getLogger(__name__)


class _Known:
    """What the access file says, ready to be asked."""

    def __init__(self, access: Access) -> None:
        self.access = access
        callers = access.callers()
        self.by_key: dict[bytes, tuple[Caller, float]] = {
            bytes.fromhex(key.sha256): (callers[key.identity], key.expires.timestamp() if key.expires else _NEVER)
            for key in access.keys
        }
        self.by_certificate = {
            name: callers[who] for who, found in access.identities.items() for name in found.certificates
        }
        self._subjects = [
            (pattern, callers[who]) for who, found in access.identities.items() for pattern in found.subjects
        ]
        self.meters = {
            name: Meter(name, caller.quota) for name, caller in callers.items() if caller.quota.meters_calls
        }

    def of_subject(self, subject: str) -> Caller | None:
        """Whose token has this `sub`; the first identity of the file that fits."""
        return next((caller for pattern, caller in self._subjects if fnmatchcase(subject, pattern)), None)


class Gate:
    """For a process that asks who calls it. For its event loop, but for `look`."""

    def __init__(self, settings: Settings, record: Record, own_key: str) -> None:
        """own_key: by which this process knows itself.

        Raises ConfigurationError for an access file, or issuers, that cannot be used.
        """
        self._takes = frozenset(settings.auth)
        if not settings.access_file:
            raise ConfigurationError(
                "TRUNKLINE_AUTH needs TRUNKLINE_ACCESS_FILE, which says who there is; trunkline keys new makes one"
            )
        self._path = Path(settings.access_file)
        self._seen = state_of([self._path])
        self._known = _Known(read_access(self._path))
        self._tokens = Tokens(self._known.access.issuers) if "jwt" in self._takes else None
        self._record = record
        self._said: dict[str, Caller] = {}
        self._peers_key, self._own_key = peer_key(), own_key

    @property
    def reflection(self) -> str:
        """Whether reflection is off, for those who may call something (auth), or for all (on)."""
        return self._known.access.reflection

    def look(self) -> None:
        """Read again what has changed. A damaged file changes nothing, and is in the log. In any thread."""
        seen = state_of([self._path])
        if seen != self._seen:
            self._seen = seen
            try:
                found = _Known(read_access(self._path))
            except ConfigurationError as error:
                _log.error("%s; what it said before goes on", error)
            else:
                self._replace(found)
        if self._tokens is not None:
            self._tokens.look()

    def admit(self, context: Any, method: str, need: Need) -> Meter | None:
        """A call begins: from here on the task works for its caller. The meter, if one counts it, is to be left.

        Raises UnauthenticatedError, PermissionDeniedError, QuotaError.
        """
        if need.is_open or (need.is_reflection and self.reflection == "on"):
            return None
        caller, counts = self._caller(context)
        meter = self._known.meters.get(caller.name) if counts else None

        peer = self._record.peer_of(context)

        def tell(what: str, reason: str) -> None:
            self._record.denial(peer, caller.name, method, (what,), reason)

        begin_as(Admission(caller, meter, tell))
        _require(caller, need)
        if meter is not None:
            meter.enter()
        return meter

    def quota_of(self, identity: str) -> Quota | None:
        """That of an identity by its name; None for one that is not in the file."""
        found = self._known.access.identities.get(identity)
        return None if found is None else found.quota

    def check(self, authorization: str | None, certificate: Sequence[str], need: Need) -> Caller | None:
        """Who asks over HTTP, before anything of the request is read; None where the method is open to all.

        Raises UnauthenticatedError, PermissionDeniedError.
        """
        if need.is_open:
            return None
        caller = self._bearer(authorization) if authorization is not None else self._certified(certificate)
        _require(caller, need)
        return caller

    def _caller(self, context: Any) -> tuple[Caller, bool]:
        """Who calls, and whether the call is counted here: what a gateway passes on it has counted itself."""
        authorization = peer = behalf = None
        for name, value in context.invocation_metadata() or ():
            if name == AUTHORIZATION:
                authorization = value
            elif name == PEER:
                peer = value
            elif name == BEHALF:
                behalf = value
        if peer is not None:
            is_own = _same(peer, self._own_key)
            if not is_own and not _same(peer, self._peers_key):
                raise UnauthenticatedError("this is no peer of the service")
            return (_OWN if behalf is None else self._spoken_for(behalf)), is_own
        caller = self._bearer(authorization) if authorization is not None else self._shown(context)
        if behalf is not None and Role.PEER in caller.roles:
            return self._spoken_for(behalf), False
        return caller, True

    def _bearer(self, authorization: Any) -> Caller:
        scheme, _, token = str(authorization).partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthenticatedError("send authorization: Bearer, and a key or token behind it")
        digest = digest_of(token.strip())
        found = self._known.by_key.get(digest) if "keys" in self._takes else None
        if found is not None:
            caller, expires_at = found
            if expires_at <= time.time():
                raise UnauthenticatedError("the key has expired: ask for a new one")
            return caller
        if self._tokens is not None:
            return self._of_token(token.strip(), digest)
        raise UnauthenticatedError("the key is not valid here")

    def _of_token(self, token: str, digest: bytes) -> Caller:
        assert self._tokens is not None
        subject = self._tokens.subject(token, digest)
        caller = self._known.of_subject(subject)
        if caller is None:
            raise UnauthenticatedError("the token is valid, and its subject is no identity here")
        return caller

    def _shown(self, context: Any) -> Caller:
        """By the certificate of the connection."""
        if "mtls" not in self._takes:
            raise UnauthenticatedError("no key came with the call: send authorization: Bearer and a key")
        found = context.auth_context()
        return self._certified(
            [name.decode("utf-8", "replace") for kind in _NAMES_IN_CERTIFICATES for name in found.get(kind, ())]
        )

    def _certified(self, names: Iterable[str]) -> Caller:
        if "mtls" in self._takes:
            for name in names:
                caller = self._known.by_certificate.get(name)
                if caller is not None:
                    return caller
            raise UnauthenticatedError("no identity here has a name of this certificate, and no key came with it")
        raise UnauthenticatedError("no key came with the call: send authorization: Bearer and a key")

    def _spoken_for(self, said: Any) -> Caller:
        caller = self._said.get(said)
        if caller is None:
            try:
                caller = caller_in(str(said))
            except (ValueError, KeyError, TypeError) as error:
                raise UnauthenticatedError("a peer says for whom it calls in a way that is not known here") from error
            if len(self._said) >= _MOST_KEPT:
                self._said.clear()
            self._said[said] = caller
        return caller

    def _replace(self, found: _Known) -> None:
        before, now = self._known.access, found.access
        for name, meter in self._known.meters.items():  # whose quota is as before goes on with what was counted
            if name in found.meters and now.identities[name].quota == before.identities[name].quota:
                found.meters[name] = meter
        if self._tokens is not None and now.issuers != before.issuers:
            try:
                self._tokens = Tokens(now.issuers)
            except ConfigurationError as error:
                _log.error("%s; the issuers before go on", error)
        self._known = found
        old, new = {key.id for key in before.keys}, {key.id for key in now.keys}
        _log.info("the access file was read again: %d identities, %d keys", len(now.identities), len(new))
        for change, keys in (("added", new - old), ("revoked", old - new)):
            for key in sorted(keys):
                self._record.key(change, key)


def _same(shown: Any, key: str) -> bool:
    """Whether it is this key, found out in a time that does not tell how much of it was right."""
    text = shown if isinstance(shown, bytes) else str(shown).encode("utf-8", "surrogateescape")
    return bool(key) and hmac.compare_digest(text, key.encode())


def _require(caller: Caller, need: Need) -> None:
    if caller.roles & need.roles:
        return
    wanted = listed(sorted(need.roles - {Role.PEER})) or "none that callers have"
    raise PermissionDeniedError(
        f"{caller.name!r} may not do that: it needs one of the roles {wanted}", identity=caller.name
    )

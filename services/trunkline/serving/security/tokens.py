"""JSON Web Tokens of known issuers, by PyJWT. Sources: RFC 7519, RFC 7517 and, for what to check, RFC 8725."""

import json
import logging
import time
import urllib.request
from collections import OrderedDict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trunkline.core.errors import ConfigurationError, UnauthenticatedError
from trunkline.core.files import MIB, read_regular
from trunkline.serving.security.access_file import Issuer
from trunkline.serving.security.watched import State, state_of

if TYPE_CHECKING:
    from jwt import PyJWKSet

_FRESH_S: Final = 300.0  # for which keys from a URL are taken as they are
_AGAIN_S: Final = 10.0  # after which a URL that was away, or had not the key of a token, is asked again
_WITHIN_S: Final = 5.0
_LEEWAY_S: Final = 30.0  # between two clocks
_MOST_KEPT: Final = 10_000
_LONGEST: Final = 8192  # characters
_log = logging.getLogger(__name__)


class Tokens:
    """Verifies tokens; one that was verified is known again until it expires."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        """Raises ConfigurationError where PyJWT is missing, or a file of keys cannot be read.

        A URL may be away: its tokens are refused until it answers.
        """
        if any(find_spec(name) is None for name in ("jwt", "cryptography")):
            raise ConfigurationError("TRUNKLINE_AUTH=jwt needs PyJWT: pip install 'trunkline[cpu,jwt]'")
        if not issuers:
            raise ConfigurationError("TRUNKLINE_AUTH=jwt needs issuers in the access file")
        self._keys = {issuer.issuer: _Keys(issuer) for issuer in issuers}
        self._verified: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        for keys in self._keys.values():
            keys.start()

    def look(self) -> None:
        """Read keys again that have changed, or may have. Blocks; in any thread."""
        changed = [keys.look() for keys in self._keys.values()]
        if any(changed):
            self._verified = OrderedDict()  # a key that is gone verifies nothing any more

    def subject(self, token: str, digest: bytes) -> str:
        """The `sub` of a token, whose SHA-256 is `digest`. Raises UnauthenticatedError."""
        known = self._verified.get(digest)
        if known is not None and known[1] > time.time():
            return known[0]
        subject, expires_at = self._verify(token)
        if len(self._verified) >= _MOST_KEPT:
            self._verified.popitem(last=False)
        self._verified[digest] = subject, expires_at
        return subject

    def _verify(self, token: str) -> tuple[str, float]:
        import jwt

        if len(token) > _LONGEST or token.count(".") != 2:
            raise UnauthenticatedError("the key or token is not valid here")
        try:
            # Not trusted yet: it only says which keys the signature is to be checked with.
            said = jwt.decode(token, options={"verify_signature": False})
            keys = self._keys.get(str(said.get("iss", "")))
            if keys is None:
                raise UnauthenticatedError("the token is of an issuer that is not known here")
            found = keys.of(jwt.get_unverified_header(token).get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                found,
                algorithms=list(keys.issuer.algorithms),
                audience=keys.issuer.audience,
                issuer=keys.issuer.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise UnauthenticatedError("the token has expired: ask for a new one") from None
        except (jwt.PyJWTError, ValueError):  # what is wrong with it is not for who made it up
            raise UnauthenticatedError("the token is not valid here") from None
        return str(claims["sub"]), float(claims["exp"]) + _LEEWAY_S


class _Keys:
    """The public keys of one issuer."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self._is_file = "://" not in issuer.jwks
        self._set: PyJWKSet | None = None
        self._data = b""
        self._seen: State = ()
        self._tried_at = 0.0
        self._wanted = False

    def start(self) -> None:
        """Raises ConfigurationError for a file that cannot be used."""
        try:
            self._read()
        except (OSError, ValueError) as error:
            text = f"the keys of issuer {self.issuer.issuer} cannot be had from {self.issuer.jwks}: {error}"
            if self._is_file:
                raise ConfigurationError(text) from error
            _log.warning("%s; its tokens are refused until they can", text)

    def of(self, kid: Any) -> Any:
        """The key with this id, or the only one. Raises UnauthenticatedError; then it is looked for soon."""
        found = [] if self._set is None else self._set.keys
        if kid is None and len(found) == 1:
            return found[0]
        for key in found:
            if key.key_id == kid and kid is not None:
                return key
        self._wanted = True
        raise UnauthenticatedError("the key with which the token was signed is not known here")

    def look(self) -> bool:
        """Read them again where that is due; whether they are others now."""
        now = time.monotonic()
        if self._is_file:
            due = state_of([Path(self.issuer.jwks)]) != self._seen
        else:
            due = now - self._tried_at >= (_AGAIN_S if self._wanted or self._set is None else _FRESH_S)
        if not due:
            return False
        before = self._data
        try:
            self._read()
        except (OSError, ValueError) as error:
            _log.error("the keys of issuer %s: %s; those before go on", self.issuer.issuer, error)
        return self._data != before

    def _read(self) -> None:
        """Raises OSError, ValueError."""
        import jwt

        self._wanted = False
        if self._is_file:
            path = Path(self.issuer.jwks)
            self._seen = state_of([path])
            data = read_regular(path, MIB)
        else:
            self._tried_at = time.monotonic()
            with urllib.request.urlopen(self.issuer.jwks, timeout=_WITHIN_S) as answer:
                data = answer.read(MIB + 1)
            if len(data) > MIB:
                raise ValueError(f"they are more than {MIB} bytes")
        try:
            self._set, self._data = jwt.PyJWKSet.from_dict(json.loads(data)), data
        except (jwt.PyJWTError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"they are no JWKS: {error}") from error

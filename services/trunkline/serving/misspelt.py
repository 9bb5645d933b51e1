"""Variables of the environment that look like a setting and are none, which would otherwise be passed over."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from trunkline.serving.settings import Settings

_PREFIX = "TRUNKLINE_"
_LIKE = 0.85
# What is read elsewhere, or set by one process of Trunkline for another.
_OTHERS = (
    *("TARGET", "TLS", "CA", "CERT", "KEY", "TOKEN", "TOKEN_FILE", "DATASETS"),
    *("PARENT", "PORT_KEPT", "PEER_KEY", "WORKER_OWNER", "WORKER_PARENT"),
)
# Kubernetes tells every pod of its services so: of one called trunkline, TRUNKLINE_PORT_8500_TCP and more.
_OF_SERVICES = ("_SERVICE_HOST", "_SERVICE_PORT", "_TCP", "_ADDR", "_PROTO", "_PORT")


def misspelt(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name, the setting that it is like) of variables that name no setting, and nearly do."""
    known = {field.upper(): field.upper().replace("_", "") for field in Settings.model_fields}
    for name in names:
        short = name.removeprefix(_PREFIX)
        if short == name or short in known or short in _OTHERS or name.endswith(_OF_SERVICES):
            continue
        like = get_close_matches(short.replace("_", "").upper(), known.values(), 1, _LIKE)
        if like:
            meant = next(field for field, squeezed in known.items() if squeezed == like[0])
            yield name, _PREFIX + meant

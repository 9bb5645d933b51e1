"""docs/reference/errors.md, from the classes of errors and the table of codes."""

from collections.abc import Iterator

from docs.generate.tables import table
from trunkline.core import errors
from trunkline.gateway.rest.errors import _HTTP
from trunkline.serving.status import code_of

_INTRODUCTION = """\
# Errors

This page is generated from `services/trunkline/core/errors.py` by `python -m docs.generate`.

Every error carries a `google.rpc.ErrorInfo` with domain `trunkline`, a `reason` and, in `metadata`, the values that
the message mentions. Read the reason in programs; messages may change.

- **Over gRPC** it is a detail of the `google.rpc.Status` in the trailer `grpc-status-details-bin`. `RetryInfo` stands
  beside it where a retry makes sense. `protos/google/rpc` has these messages for languages that lack them.
- **Over HTTP** the `google.rpc.Status` is the body, as JSON, with `Retry-After` where a retry makes sense.
- **An error of one head, or of one picture of a stream**, is a `HeadError` with the same fields.
- **In Python** it is a `ServiceError` with `code`, `reason`, `message` and `retry_after_s`.

"""
_NOTES = """
The reason `INTERNAL` is a bug: the client gets "internal error"; the log has the rest. A training job whose process
died three times ends with the reason `WORKER_DIED`.

`DATA_INVALID` names the file and the line. `QUEUE_FULL`, `MEMORY` and `QUOTA` come with `RetryInfo`. A JPEG that
lacks only its end marker is read; any other damage is `INVALID_IMAGE`.
"""


def page() -> str:
    """The page, Markdown."""
    header = ("reason", "gRPC code", "HTTP", "what happened")
    return _INTRODUCTION + table(header, [_row(each) for each in _sent()]) + "\n" + _NOTES


def _sent() -> Iterator[type[errors.TrunklineError]]:
    """The classes that have a code, in the order of the file."""
    for each in vars(errors).values():
        if isinstance(each, type) and issubclass(each, errors.TrunklineError) and _code(each) != "INTERNAL":
            yield each


def _code(cls: type[errors.TrunklineError]) -> str:
    return code_of(cls.__new__(cls)).name


def _row(cls: type[errors.TrunklineError]) -> tuple[str, str, str, str]:
    code = _code(cls)
    return f"`{cls.reason}`", code, str(_HTTP[code]), _meaning(cls)


def _meaning(cls: type[errors.TrunklineError]) -> str:
    """The first sentence of its docstring. Raises AssertionError where it has none of its own."""
    assert cls.__doc__, f"{cls.__name__} has no docstring"
    return cls.__doc__.partition("\n\n")[0]

"""Headers of a request that go on to the call: the request id, and the trace as W3C says."""

import re
from collections.abc import Iterator

from starlette.datastructures import Headers

from trunkline.serving.telemetry.call import REQUEST_ID, is_request_id

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?")
_STATE = re.compile(r"[ -~\t]{1,512}")
_LONGEST_PARENT = 256


def passed_on(headers: Headers) -> tuple[tuple[str, str], ...]:
    """As metadata. What is not valid is left out: then the call gets a new id, or begins a new trace."""
    return tuple(_passed_on(headers))


def _passed_on(headers: Headers) -> Iterator[tuple[str, str]]:
    request_id = headers.get(REQUEST_ID)
    if request_id is not None and is_request_id(request_id):
        yield REQUEST_ID, request_id
    parents = headers.getlist("traceparent")
    if len(parents) != 1 or len(parents[0]) > _LONGEST_PARENT or not _PARENT.fullmatch(parents[0]):
        return
    yield "traceparent", parents[0]
    state = ",".join(headers.getlist("tracestate"))
    if _STATE.fullmatch(state):
        yield "tracestate", state

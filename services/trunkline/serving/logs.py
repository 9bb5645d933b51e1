"""Logs go to standard error, one line each: text for people, or JSON for machines."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from trunkline.serving.security.record import NAME as AUDIT
from trunkline.serving.telemetry.call import current_call


def set_up_logs(level: str, role: str, form: Literal["text", "json"] = "text") -> None:
    """Log at `level` with the role of this process in every line, and the request where there is one."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(role) if form == "json" else TextLines(role))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    records = logging.StreamHandler(sys.stderr)
    records.setFormatter(logging.Formatter("%(message)s"))
    audit = logging.getLogger(AUDIT)
    audit.handlers, audit.propagate = [records], False
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_of_service)


def _is_of_service(record: logging.LogRecord) -> bool:
    """gRPC has a traceback for each odd byte in a caller's metadata, and for each who is gone at his answer."""
    return not str(record.msg).startswith(("Invalid encoding on ", "ExecuteBatchError raised in core"))


class TextLines(logging.Formatter):
    """A line for people."""

    def __init__(self, role: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {role.replace('%', '%%')} %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name is the base class's)
        call = current_call()
        line = super().formatMessage(record)
        return line if call is None else f"{line} request_id={call.request_id}"


class JsonLines(logging.Formatter):
    """One JSON object a line: timestamp (RFC 3339, UTC), level, logger, role, message, and what there is of
    request_id, trace_id, exception and the fields of the record (`extra={"fields": {...}}`).
    """

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "timestamp": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "role": self._role,
            "message": record.getMessage(),
        }
        call = current_call()
        if call is not None:
            line["request_id"] = call.request_id
            if call.trace_id:
                line["trace_id"] = call.trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        line.update(getattr(record, "fields", {}))
        return json.dumps(line, ensure_ascii=False, default=str)

"""Errors of calls, as the service said them: code, reason, message, metadata."""

from collections.abc import Mapping

import grpc
from google.rpc import status_pb2

from trunkline.api.vision.v1 import vision_service_pb2
from trunkline.serving.status import code_name, error_info, retry_delay_s
from trunkline.serving.trailers import status_in


class ServiceError(Exception):
    """A call that failed.

    `code` names the gRPC code, such as "NOT_FOUND"; `reason` is the stable constant of google.rpc.ErrorInfo,
    such as "INVALID_IMAGE"; `metadata` holds the values that the message speaks of; `retry_after_s` is set
    where a new try makes sense.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        # All of them, so that it can be pickled.
        super().__init__(code, reason, message, metadata, retry_after_s)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class UnreachableError(ServiceError):
    """Nothing answers at the target. `metadata` has `target` and `cause`, which is gRPC's own text."""


def from_status(status: status_pb2.Status) -> ServiceError:
    """The error that a status stands for. A status without our ErrorInfo gets its code as the reason."""
    info, code = error_info(status), code_name(status.code)
    if info is None:
        return ServiceError(code, code, status.message, retry_after_s=retry_delay_s(status))
    return ServiceError(code, info.reason, status.message, dict(info.metadata), retry_delay_s(status))


def from_head_error(error: vision_service_pb2.HeadError) -> ServiceError:
    """The error in the outcome of one head."""
    retry_after_s = error.retry_after.ToMilliseconds() / 1000 if error.HasField("retry_after") else None
    return ServiceError(code_name(error.code), error.reason, error.message, dict(error.metadata), retry_after_s)


def from_rpc_error(error: grpc.RpcError, target: str, timeout_s: float) -> ServiceError:
    """The error of a call to `target` that had `timeout_s` seconds, from what gRPC raised."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return ServiceError("UNKNOWN", "UNKNOWN", f"the call to {target} failed: {error}")
    status = status_in(error)
    if status is not None:
        return from_status(status)
    return _without_status(error.code().name, _one_line(error.details()), target, timeout_s)


def _without_status(code: str, details: str, target: str, timeout_s: float) -> ServiceError:
    """Errors that gRPC made itself, here or on the way, so that no service could explain them."""
    metadata = {"target": target, "cause": details}
    if details == "Internal error from Core":  # grpc.aio, where a connection ends as a stream begins on it
        code = "UNAVAILABLE"
    match code:
        case "UNAVAILABLE" if "http1.x server" in details:
            text = f"{target} is an HTTP port: give the HOST:PORT of gRPC, by default port 8500"
            return UnreachableError(code, "UNREACHABLE", text, metadata)
        case "UNAVAILABLE":
            missing = f"no service answers at {target}; start one with: trunkline serve"
            text = _about_tls(target, details) or missing
            return UnreachableError(code, "UNREACHABLE", text, metadata)
        case "RESOURCE_EXHAUSTED" if "metadata size" in details:
            text = f"{target} ended the call with an error that is longer than gRPC carries; its log may have it"
            return ServiceError("UNKNOWN", "ERROR_TOO_LONG", text, metadata)
        case "DEADLINE_EXCEEDED":
            return ServiceError(code, code, f"{target} did not answer within {timeout_s:g} s", metadata)
        case "UNIMPLEMENTED":
            return ServiceError(
                code, code, f"{target} does not know this call: it is not a Trunkline gateway", metadata
            )
    return ServiceError(code, code, f"the call to {target} failed: {details}", metadata)


def _about_tls(target: str, details: str) -> str | None:
    """Why a handshake failed, and what to do; None where none did."""
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return f"this client trusts no CA of the certificate of {target}: name its CA with --ca FILE"
    if "Hostname Verification" in details:
        return f"the certificate of {target} has other names: call it by one of them"
    if "WRONG_VERSION_NUMBER" in details:
        return f"{target} does not speak TLS: leave out --tls, --ca and --cert"
    if "Socket closed" in details and "connections to all backends failing" in details:
        return (
            f"{target} closes connections: it may want TLS, with --ca FILE, or a certificate, with --cert and --key"
        )
    return None


def _one_line(text: str | None) -> str:
    return " ".join((text or "no details").split())

"""Errors to gRPC codes and back: the one table, and google.rpc.ErrorInfo on every error."""

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from trunkline.api.vision.v1 import vision_service_pb2
from trunkline.core import errors
from trunkline.core.text import LONGEST_ECHO
from trunkline.serving.begun import was_begun
from trunkline.serving.trailers import status_in

DOMAIN = "trunkline"
# A status travels in headers, of which clients take 8 KB by default, twice: as text with each odd byte as three, and
# in base64 with its details.
_LONGEST_MESSAGE = 800
_MOST_VALUES = 6
_DETAILS_KEY = "grpc-status-details-bin"

# The first class that an error is an instance of decides.
_CODES: tuple[tuple[type[errors.TrunklineError], grpc.StatusCode], ...] = (
    (errors.InvalidRequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.DataInvalidError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.DataForbiddenError, grpc.StatusCode.PERMISSION_DENIED),
    (errors.WrongTaskError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.BackboneMismatchError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.SpaceMismatchError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ModelInvalidError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.TermsError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.GateFailedError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.StorageError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionDeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (errors.UnsupportedError, grpc.StatusCode.UNIMPLEMENTED),
    (errors.QueueFullError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.ServiceUnavailableError, grpc.StatusCode.UNAVAILABLE),
    (errors.DeadlineError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.AlreadyExistsError, grpc.StatusCode.ALREADY_EXISTS),
    (errors.GalleryStateError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.JobStateError, grpc.StatusCode.FAILED_PRECONDITION),
)
_BY_REASON: dict[str, type[errors.TrunklineError]] = {
    cls.reason: cls
    for cls in (
        errors.InvalidRequestError,
        errors.InvalidImageError,
        errors.ImageTooLargeError,
        errors.DataInvalidError,
        errors.DataForbiddenError,
        errors.WrongTaskError,
        errors.NotFoundError,
        errors.BackboneMismatchError,
        errors.SpaceMismatchError,
        errors.ModelInvalidError,
        errors.TermsError,
        errors.GateFailedError,
        errors.StorageError,
        errors.UnauthenticatedError,
        errors.PermissionDeniedError,
        errors.UnsupportedError,
        errors.ServiceUnavailableError,
        errors.FeaturesGoneError,
        errors.DeadlineError,
        errors.AlreadyExistsError,
        errors.GalleryStateError,
        errors.JobStateError,
    )
}
_BUSY = {cls.reason: cls for cls in (errors.QueueFullError, errors.MemoryFullError, errors.QuotaError)}


def code_of(error: Exception) -> grpc.StatusCode:
    """The gRPC code of an error; INTERNAL for whatever is not meant for callers."""
    return next((code for cls, code in _CODES if isinstance(error, cls)), grpc.StatusCode.INTERNAL)


def to_status(error: Exception) -> status_pb2.Status:
    """A google.rpc.Status with ErrorInfo, and RetryInfo where a new try makes sense.

    The text of an error that is not meant for callers stays here.
    """
    code = code_of(error)
    known = isinstance(error, errors.TrunklineError) and code is not grpc.StatusCode.INTERNAL
    message = error.message if known and isinstance(error, errors.TrunklineError) else "internal error"
    status = status_pb2.Status(code=code.value[0], message=_sendable(message, _LONGEST_MESSAGE))
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN)
    if known and isinstance(error, errors.TrunklineError):
        info.reason = error.reason
        values = list(error.metadata.items())[:_MOST_VALUES]
        info.metadata.update({key: _sendable(value, LONGEST_ECHO) for key, value in values})
    status.details.add().Pack(info)
    if isinstance(error, errors.QueueFullError):
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _sendable(text: str, longest: int) -> str:
    """At most `longest` bytes. Names of files may hold bytes that are no UTF-8, which a message cannot."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= longest:
        return encoded.decode()
    return encoded[: longest - len("…".encode())].decode("utf-8", "ignore") + "…"


def to_head_error(error: Exception) -> vision_service_pb2.HeadError:
    """The same for the outcome of one head."""
    status = to_status(error)
    info = error_info(status)
    message = vision_service_pb2.HeadError(code=status.code, message=status.message)
    if info is not None:
        message.reason = info.reason
        message.metadata.update(info.metadata)
    if isinstance(error, errors.QueueFullError):
        message.retry_after.FromNanoseconds(int(error.retry_after_s * 1e9))
    return message


def from_head_error(error: vision_service_pb2.HeadError) -> Exception:
    """The error that to_head_error() was made from; one that is not meant for callers becomes a RuntimeError."""
    status = status_pb2.Status(code=error.code, message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    if error.HasField("retry_after"):
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=error.retry_after))
    return _rebuild(status, info)


async def end_with(context: "grpc.aio.ServicerContext[object, object]", error: Exception) -> None:
    """End the call with the status of an error, unless who asked has gone. gRPC raises AbortError once it returns."""
    status = to_status(error)
    # What was set before, such as the request id, would otherwise be lost.
    details = (*(context.trailing_metadata() or ()), (_DETAILS_KEY, status.SerializeToString()))
    try:
        await context.abort(code_of(error), status.message, details)
    except (grpc.aio.AbortError, grpc.aio.InternalError, grpc.aio.UsageError) as ended:
        forget_frames(ended)


def forget_frames(error: BaseException | None) -> None:
    """Free what a call held that ended with this error.

    gRPC keeps the AbortError of a call that was aborted, and with it the frames of each traceback, where the request
    is: 16 MiB for each picture that was refused.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def from_rpc_error(error: grpc.RpcError, service: str) -> Exception:
    """The error that a call to another service of Trunkline ended with, as that service raised it.

    `service` names the other side where it could not be reached.
    """
    code = error.code() if isinstance(error, grpc.aio.AioRpcError | grpc.Call) else grpc.StatusCode.UNKNOWN
    status = status_in(error) if isinstance(error, grpc.aio.AioRpcError | grpc.Call) else None
    info = error_info(status) if status is not None else None
    if status is not None and info is not None:
        return _rebuild(status, info)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineError(f"{service} did not answer in time")
    if code is grpc.StatusCode.UNAVAILABLE and was_begun(error):
        text = f"{service} ended while it worked on a large picture, which may be why: no other one was asked"
        return errors.ServiceUnavailableError(text, service=service)
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.ServiceUnavailableError(f"{service} cannot be reached", service=service)
    return error


def error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo of a status, if it has one of our domain."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def retry_delay_s(status: status_pb2.Status) -> float | None:
    """Seconds after which a new try makes sense, if the status says so."""
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds()) / 1000
    return None


def from_status(status: status_pb2.Status) -> Exception:
    """The error that to_status() was made from; one that is not meant for callers becomes a RuntimeError."""
    return _rebuild(status, error_info(status) or error_details_pb2.ErrorInfo())


def code_name(code: int) -> str:
    """Name of a google.rpc.Code, such as "NOT_FOUND"; "UNKNOWN" for a number that stands for none."""
    return str(code_pb2.Code.Name(code)) if code in code_pb2.Code.values() else "UNKNOWN"


def _rebuild(status: status_pb2.Status, info: error_details_pb2.ErrorInfo) -> Exception:
    metadata = dict(info.metadata)
    busy = _BUSY.get(info.reason)
    if busy is not None:
        return busy(status.message, retry_after_s=retry_delay_s(status) or 0.0, **metadata)
    cls = _BY_REASON.get(info.reason)
    return cls(status.message, **metadata) if cls is not None else RuntimeError(status.message)

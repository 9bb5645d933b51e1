"""The google.rpc.Status in the trailers of a call, as services of any kind and age may have written it."""

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

_KEY = "grpc-status-details-bin"
_READ_HERE = (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo)


def status_in(call: "grpc.Call | grpc.aio.AioRpcError") -> status_pb2.Status | None:
    """The status that the service wrote; None where it wrote none that can be read. Never raises.

    It counts where the code of the call is another: gRPC itself ends a call whose trailers are too long with
    RESOURCE_EXHAUSTED, whatever the service said. Details that cannot be read are left out.
    """
    written = next((value for key, value in call.trailing_metadata() or () if key == _KEY), None)
    if written is None:
        return None
    try:
        status = status_pb2.Status.FromString(written if isinstance(written, bytes) else written.encode())
    except DecodeError:
        return None
    if status.code == code_pb2.OK or status.code not in code_pb2.Code.values():
        return None
    readable = [detail for detail in status.details if _is_readable(detail)]
    del status.details[:]
    status.details.extend(readable)
    return status


def _is_readable(detail: AnyMessage) -> bool:
    for kind in _READ_HERE:
        if detail.Is(kind.DESCRIPTOR):
            try:
                return bool(detail.Unpack(kind()))
            except DecodeError:
                return False
    return True

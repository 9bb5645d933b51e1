"""Every metric that a process may show: the names are the contract with dashboards and alerts.

Names of grpc_* follow gRFC A66 in their Prometheus form.
"""

from dataclasses import dataclass
from typing import Literal

_TIMES_S = (
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.02,
    0.03,
    0.05,
    0.075,
    0.1,
    0.15,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)
_BYTES = (1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_PASSES = (0, 1, 2, 3, 4, 6, 8, 16)


@dataclass(frozen=True)
class Metric:
    """`buckets` are upper bounds, in the unit that the name ends with."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


CALL_STARTED = Metric("grpc_server_call_started_total", "counter", "calls that started", ("grpc_method",))
CALL_DURATION = Metric(
    "grpc_server_call_duration_seconds",
    "histogram",
    "from the request's arrival to the end of the call",
    ("grpc_method", "grpc_status"),
    _TIMES_S,
)
CALL_RECEIVED = Metric(
    "grpc_server_call_rcvd_total_compressed_message_size_bytes",
    "histogram",
    "bytes of the request messages of a call",
    ("grpc_method", "grpc_status"),
    _BYTES,
)
CALL_SENT = Metric(
    "grpc_server_call_sent_total_compressed_message_size_bytes",
    "histogram",
    "bytes of the response messages of a call",
    ("grpc_method", "grpc_status"),
    _BYTES,
)
CALLS_IN_FLIGHT = Metric("trunkline_calls_in_flight", "gauge", "calls that are being answered now", ("grpc_method",))
PASS_DURATION = Metric(
    "trunkline_pass_seconds",
    "histogram",
    "from asking a backbone to its features; includes the network in the split form",
    ("backbone", "status"),
    _TIMES_S,
)
QUEUE_DURATION = Metric("trunkline_queue_seconds", "histogram", "wait for a worker before a pass", (), _TIMES_S)
DECODE_DURATION = Metric("trunkline_decode_seconds", "histogram", "decoding and resizing an image", (), _TIMES_S)
BACKBONE_DURATION = Metric(
    "trunkline_backbone_seconds", "histogram", "the run of a backbone", ("backbone",), _TIMES_S
)
HEAD_DURATION = Metric(
    "trunkline_head_seconds",
    "histogram",
    "from asking a head to its answer; includes the network in the split form",
    ("head", "status"),
    _TIMES_S,
)
PASSES = Metric("trunkline_passes_per_request", "histogram", "backbone passes of a call with one image", (), _PASSES)
REFUSED = Metric(
    "trunkline_refused_total",
    "counter",
    "work of a stage (backbone or head) that was not done, by the reason of the error",
    ("stage", "reason"),
)
DENIED = Metric(
    "trunkline_denied_total",
    "counter",
    "calls, and names in calls, that were refused for who asked, by reason",
    ("reason",),
)
HEAD_INFO = Metric(
    "trunkline_head_info", "gauge", "1 for the default version of each head", ("head", "version", "task", "backbone")
)
HEAD_READY = Metric("trunkline_head_ready", "gauge", "1 if the head can answer, otherwise 0", ("head",))
BACKBONE_INFO = Metric(
    "trunkline_backbone_info", "gauge", "1 for each backbone that is served", ("backbone", "version")
)
WORK_HELD = Metric("trunkline_work_held", "gauge", "work items that wait or run")
QUEUE_DEPTH = Metric("trunkline_queue_depth", "gauge", "work items that wait for a worker")
WORK_LIMIT = Metric("trunkline_work_limit", "gauge", "work items of each kind that may be held before QUEUE_FULL")
WORK_REFUSED = Metric(
    "trunkline_work_refused_total",
    "counter",
    "work that the queue of this process refused: full, late, over, pressure or evicted",
    ("reason",),
)
CACHE_REQUESTS = Metric(
    "trunkline_feature_cache_requests_total",
    "counter",
    "images that were looked up: hit, joined (their pass is running) or miss",
    ("result",),
)
CACHE_BYTES = Metric("trunkline_feature_cache_bytes", "gauge", "bytes of the features that are kept")
CACHE_EVICTED = Metric("trunkline_feature_cache_evicted_total", "counter", "features that were removed to make room")
BATCHES = Metric(
    "trunkline_batches_total",
    "counter",
    "passes of several requests, by the reason why the batch closed",
    ("reason",),
)
BATCH_SIZES = Metric(
    "trunkline_batch_size_total", "counter", "passes of several requests, by number of images", ("size",)
)
READY = Metric("trunkline_ready", "gauge", "1 if the process is ready, otherwise 0")
BUILD_INFO = Metric(
    "trunkline_build_info", "gauge", "1 for the role and version of this process", ("role", "version")
)

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

"""Settings: one frozen object, read once at start from TRUNKLINE_* variables and the command line."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from trunkline.core.cpu import available_cores
from trunkline.core.errors import ConfigurationError
from trunkline.core.host_port import check_listening, check_target, parse_host_port
from trunkline.core.images import ImageLimits
from trunkline.serving.addresses import is_loopback
from trunkline.serving.execution import PROVIDERS, Execution

_MOST_WIDE_THREADS = 8  # a layer of a small backbone takes well under a millisecond and divides no further
_WAYS = ("keys", "jwt", "mtls")
_ORIGIN = re.compile(r"https?://[^/\s@?#]+", re.IGNORECASE)
CommaList = Annotated[tuple[str, ...], NoDecode]


@dataclass(frozen=True)
class Batching:
    """Whether pictures of several requests share a pass, and the bounds on that."""

    mode: Literal["auto", "on", "off"]
    max_batch: int
    wait_s: float
    max_held: int


class Settings(BaseSettings):
    """Everything that can be set. The field NAME is read from TRUNKLINE_NAME; lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", frozen=True, extra="forbid")

    address: str = Field("127.0.0.1:8500", description="address of this process; port 0 takes a free port")
    http_address: str = Field("", description="address for HTTP and JSON of the gateway, also all in one; empty: off")
    http_origins: CommaList = Field(
        (),
        description="origins whose pages may call the HTTP port from a browser (CORS): https://HOST, or * for any",
    )
    insecure: bool = Field(
        False, description="listen beyond loopback without TRUNKLINE_AUTH, or in plain text; otherwise nothing starts"
    )
    auth: CommaList = Field(
        (), description="how callers show who they are: off, or keys, jwt and mtls, of which one is enough"
    )
    access_file: str = Field(
        "", description="JSON file of who there is: roles, scopes and quotas, keys and issuers of tokens"
    )
    tls_cert: str = Field(
        "", description="PEM file of this process's certificate and those of its CAs; gRPC and HTTP are TLS with it"
    )
    tls_key: str = Field("", description="PEM file of the private key of that certificate")
    tls_client_ca: str = Field(
        "",
        description="PEM file of the CA of callers' certificates, which they must then show, and of those of the "
        "services behind a gateway",
    )
    admin_address: str = Field(
        "",
        description="where the gateway, also in all in one, serves catalog and training over gRPC, and there alone; "
        "beside the rest where empty",
    )
    models: str = Field(
        "models",
        description="the model repository: a folder, or the URL of an object store such as s3://BUCKET/PREFIX",
    )
    models_cache: Path = Field(Path("out/models"), description="folder of the mirrors of model repositories at a URL")
    backbones: CommaList = Field(
        (),
        description="backbones to serve, NAME or NAME/VERSION; empty: all that the heads in the repository need",
    )
    backbone: str = Field("", description="one backbone to serve, where TRUNKLINE_BACKBONES is empty")
    heads: CommaList = Field((), description="heads to load; empty: all in the repository")
    terms: Literal["", "commercial"] = Field(
        "",
        description="commercial: serve only heads whose terms are any, none with unknown terms; empty: serve all",
    )
    default_heads: CommaList = Field(
        ("imagenet", "pets", "coco"),
        description="heads that answer if a call names none and several of the task are served",
    )
    heads_path: CommaList = Field((), description="further folders in which tasks (head.py) are looked for")
    backbone_addresses: CommaList = Field(
        (), description="where the gateway finds backbone services, one address each"
    )
    backbone_address: str = Field(
        "127.0.0.1:8501",
        description="where the gateway finds the backbone service, where TRUNKLINE_BACKBONE_ADDRESSES is empty",
    )
    head_addresses: CommaList = Field(
        ("127.0.0.1:8502",), description="where the gateway finds head services, one address each"
    )
    catalog_address: str = Field("127.0.0.1:8503", description="where the gateway finds the catalog service")
    training_address: str = Field(
        "127.0.0.1:8504",
        description="where the gateway finds training, and where that listens, if TRUNKLINE_ADDRESS is not set",
    )
    training_database: str = Field(
        "sqlite:///out/training/jobs.db",
        repr=False,
        description="where jobs are kept: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE",
    )
    training_work: Path = Field(Path("out/training"), description="folder of the checkpoints of jobs")
    training_cache: Path = Field(Path("out/features"), description="folder of stored features")
    training_jobs: int = Field(
        1, ge=0, description="jobs that run at once; 0: no training, all in one and in the gateway"
    )
    training_queue: int = Field(
        100, ge=1, description="most training jobs that wait; further ones are refused until some have started"
    )
    training_data_roots: CommaList = Field(
        (),
        description="folders below which jobs and evaluations may read data and weights; where empty they may read "
        "any, but are refused unless the service, and the gateway before it, listen on loopback alone",
    )
    training_annotations_mib: int = Field(
        256,
        ge=1,
        description="limit on one file of annotations of a data set, and on all of labelme's together, MiB; "
        "reading it takes up to ten times as much memory",
    )
    training_cores: int = Field(0, ge=0, description="cores that a job may use; 0: all but one")
    training_processes: int = Field(
        1, ge=1, description="processes that share a job, started by torchrun if more than one"
    )
    training_launcher: Literal["local", "kubernetes"] = Field(
        "local", description="where jobs run: local, processes of this machine, or kubernetes, Jobs of a cluster"
    )
    training_kubernetes_namespace: str = Field("default", min_length=1, description="namespace of those Jobs")
    training_kubernetes_image: str = Field("", description="image of a worker; the pod template's where empty")
    training_kubernetes_template: str = Field(
        "", description="YAML file of a pod template for workers: volumes, resources, service account"
    )
    training_kubernetes_database_secret: str = Field(
        "", description="Secret with TRUNKLINE_TRAINING_DATABASE for workers, NAME/KEY"
    )
    gallery_database: str = Field(
        "sqlite:///out/galleries/galleries.db",
        repr=False,
        description="where the gateway keeps galleries: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE; "
        "off where empty",
    )
    gallery_index: Path = Field(
        Path("out/galleries"), description="folder of the indexes of large galleries, which are made again without it"
    )
    gallery_memory_mib: int = Field(
        1024,
        ge=1,
        description="galleries in memory, MiB; above it the least recently used are dropped; no gallery may be "
        "larger",
    )
    gallery_limit: int = Field(1000, ge=0, description="most galleries")
    gallery_images: int = Field(1_000_000, ge=0, description="most images in a gallery")
    gallery_disk_mib: int = Field(
        16 * 1024,
        ge=0,
        description="vectors and kept pictures of all galleries, MiB; it is about their disk space",
    )
    threads: int = Field(0, ge=0, description="worker threads; 0: the cores that this process may use")
    stream_in_flight: int = Field(
        0, ge=0, description="images of one AnalyzeStream in work at a time; 0: four per worker thread"
    )
    max_queue: int = Field(256, ge=1, description="most images, and most questions to heads, that a process holds")
    feature_cache_bytes: int = Field(
        128 * 1024 * 1024, ge=0, description="features kept for images seen before, bytes; 0 keeps none"
    )
    batching: Literal["auto", "on", "off"] = Field(
        "auto", description="images of several requests in one pass: on, off, or auto (as measured at start)"
    )
    max_batch: int = Field(8, ge=1, description="most images in one pass, if batching is on")
    batch_wait_ms: float = Field(2.0, ge=0, description="how long an image waits for others to share its pass")
    wide_threads: int = Field(
        0, ge=0, description="threads of a backbone pass that runs alone; 0: all worker threads, at most 8"
    )
    providers: CommaList = Field(
        ("cpu",), description="where models run, the preferred one first: cpu, cuda, tensorrt, openvino"
    )
    allow_fallback: bool = Field(
        False,
        description="run on the CPU, with a warning, if a provider is not available; otherwise nothing starts",
    )
    max_image_bytes: int = Field(16 * 1024 * 1024, ge=1, description="limit on an encoded image, bytes")
    max_image_pixels: int = Field(
        50_000_000,
        ge=1,
        description="limit on an image, width times height; decoding takes at most 6 bytes of memory per pixel",
    )
    shared_memory: str = Field(
        "",
        description="folder in memory through which the backbone and the head services of a machine share features; "
        "off where empty, but `trunkline serve --split` makes one",
    )
    shared_memory_mib: int = Field(256, ge=0, description="limit on the features in shared memory, MiB; 0: off")
    max_message_bytes: int = Field(
        64 * 1024 * 1024, ge=1024 * 1024, description="limit on one gRPC message, on every hop"
    )
    request_memory_mib: int = Field(
        256,
        ge=1,
        description="limit on the memory of all requests that a process receives and holds at a time, MiB; an image "
        "takes three times its bytes",
    )
    connection_age_s: float = Field(
        0.0,
        ge=0,
        description="age at which a connection takes no more calls, so that clients look for new replicas, seconds; "
        "0 for none",
    )
    request_timeout_s: float = Field(30.0, gt=0, description="deadline of calls without one, seconds")
    refresh_s: float = Field(2.0, gt=0, description="how often the gateway asks services what they serve, seconds")
    catalog_poll_s: float = Field(
        1.0,
        gt=0,
        description="how often head and backbone services look for new versions and changes of the catalog, seconds",
    )
    startup_grace_s: float = Field(
        5.0, ge=0, description="how long a starting gateway waits for every head service, seconds"
    )
    drain_pause_s: float = Field(
        0.5,
        ge=0,
        description="after SIGTERM: how long NOT_SERVING is shown before calls are refused, seconds",
    )
    drain_s: float = Field(20.0, ge=0, description="after SIGTERM: how long calls in flight may take, seconds")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="format of the log: text, or json with one object per line"
    )
    access_log: bool = Field(False, description="one log line per call, at level INFO")
    metrics_address: str = Field(
        "", description="where Prometheus finds /metrics, such as 127.0.0.1:9464; off where empty"
    )
    otel_endpoint: str = Field(
        "",
        description="OTLP receiver of traces (gRPC), such as http://127.0.0.1:4317; off where empty",
    )

    @field_validator(
        "auth",
        "backbones",
        "backbone_addresses",
        "heads",
        "default_heads",
        "heads_path",
        "head_addresses",
        "http_origins",
        "providers",
        "training_data_roots",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("models", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @field_validator("address")
    @classmethod
    def _can_be_listened_on(cls, value: str) -> str:
        return check_listening(value)

    @field_validator("admin_address")
    @classmethod
    def _can_be_listened_on_too(cls, value: str) -> str:
        return check_listening(value) if value else ""

    @field_validator("backbone_address", "catalog_address", "training_address")
    @classmethod
    def _can_be_called(cls, value: str) -> str:
        return check_target(value)

    @field_validator("head_addresses", "backbone_addresses")
    @classmethod
    def _can_all_be_called(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_target, value))

    @field_validator("providers")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in PROVIDERS]
        if unknown or not value:
            raise ValueError(f"{', '.join(unknown) or 'none'} is not a provider; known: {', '.join(PROVIDERS)}")
        return value

    @field_validator("http_address", "metrics_address")
    @classmethod
    def _has_port_or_is_off(cls, value: str) -> str:
        return str(parse_host_port(value, "127.0.0.1:9464")) if value else ""

    @field_validator("http_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if each != "*" and not _ORIGIN.fullmatch(each):
                raise ValueError(
                    f"{each!r} is no origin; write https://HOST or http://HOST:PORT, without a path, or *"
                )
        return tuple(each.lower() for each in value)

    @field_validator("auth")
    @classmethod
    def _are_ways(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [each for each in value if each not in ("off", *_WAYS)]
        if unknown or ("off" in value and len(value) > 1):
            ways = ",".join(_WAYS)
            raise ValueError(f"{','.join(value)!r} is no way to know callers; write off, or some of {ways}")
        return tuple(each for each in value if each != "off")

    @field_validator("otel_endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is not a URL; write http://HOST:PORT, such as http://127.0.0.1:4317")
        return value

    @field_validator("training_kubernetes_database_secret")
    @classmethod
    def _has_key(cls, value: str) -> str:
        if value and not all(value.partition("/")):
            raise ValueError(f"{value!r} is not NAME/KEY")
        return value

    @property
    def reached_from_here_alone(self) -> bool:
        """Whether this process listens on loopback alone, for gRPC and for HTTP."""
        return all(
            is_loopback(address) for address in (self.address, self.http_address, self.admin_address) if address
        )

    @property
    def named_backbones(self) -> tuple[str, ...]:
        """NAME or NAME/VERSION of the backbones to serve; empty for all that are needed."""
        return self.backbones or ((self.backbone,) if self.backbone else ())

    @property
    def backbone_targets(self) -> tuple[str, ...]:
        """The address of each backbone service."""
        return self.backbone_addresses or (self.backbone_address,)

    @property
    def worker_threads(self) -> int:
        """Threads that compute, never more than the cores this process may use unless set."""
        return self.threads or available_cores()

    @property
    def pictures_in_flight(self) -> int:
        """Pictures of one stream that are read and not wholly answered."""
        return self.stream_in_flight or 4 * self.worker_threads

    @property
    def batches(self) -> Batching:
        return Batching(self.batching, self.max_batch, self.batch_wait_ms / 1000, self.max_queue)

    @property
    def execution(self) -> Execution:
        """How models run here."""
        wide_threads = min(self.wide_threads or _MOST_WIDE_THREADS, self.worker_threads)
        return Execution(self.providers, self.allow_fallback, wide_threads)

    @property
    def end_s(self) -> float:
        """Seconds from SIGTERM after which a process is gone, whatever hangs: its drain, and a few for the rest."""
        return self.drain_pause_s + self.drain_s + 6

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(self.max_image_bytes, self.max_image_pixels)


def read_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with overrides that are not None. Raises ConfigurationError."""
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        fault = error.errors()[0]
        name = "TRUNKLINE_" + "_".join(str(part) for part in fault["loc"][:1]).upper()
        raise ConfigurationError(f"setting {name}: {fault['msg'].removeprefix('Value error, ')}") from error

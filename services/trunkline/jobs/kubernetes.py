"""Workers as Kubernetes Jobs, through the official client. The cluster decides where they run.

What keeps a worker's job is its lease, as everywhere; what the cluster says only makes it known sooner, and why.
"""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from urllib3.exceptions import HTTPError

from trunkline.core.errors import ConfigurationError, ServiceUnavailableError, TrunklineError
from trunkline.jobs.launcher import Launch, WorkerStatus
from trunkline.jobs.pod_template import CONTAINER, check_template, manifest, names_of_environment
from trunkline.jobs.scheduler import Pace
from trunkline.serving.settings import Settings

# A pod may wait long for a node and for its image, and has half a minute between SIGTERM and SIGKILL.
PACE = Pace(poll_s=2.0, start_s=3600.0, grace_s=40.0)
_DATABASE = "TRUNKLINE_TRAINING_DATABASE"
_TIMEOUT_S = (5.0, 20.0)  # to connect, to answer
_HOPELESS = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NOT_FOUND, _CONFLICT, _TOO_MANY, _BROKEN = 404, 409, 429, 500
_log = logging.getLogger(__name__)
T = TypeVar("T")


class KubernetesLauncher:
    """Jobs in one namespace, from a pod template of the operators or the one that is built in.

    Raises ConfigurationError where the cluster is not configured, the template cannot be used, or the URL of the
    database would put a password into a manifest.
    """

    def __init__(self, settings: Settings) -> None:
        self._namespace = settings.training_kubernetes_namespace
        self._image = settings.training_kubernetes_image
        self._template = _read_template(settings.training_kubernetes_template, self._image)
        self._secrets = _secrets(settings, self._template)
        api = client.ApiClient(_configuration())
        self._jobs, self._pods = client.BatchV1Api(api), client.CoreV1Api(api)
        self._away = False

    async def start(self, launch: Launch) -> str:
        """Create the Job; one of this name that is there already is this one.

        Raises ServiceUnavailableError where the API is away, ConfigurationError where it refuses.
        """
        if not _NAME.fullmatch(launch.name):
            raise ConfigurationError(f"{launch.name!r} cannot be the name of a Kubernetes Job")
        body = manifest(self._of_launch(launch), self._template, self._namespace, self._image, self._secrets)
        try:
            await self._call(
                self._jobs.create_namespaced_job, self._namespace, body, field_validation="Strict", what="create"
            )
        except _ConflictError:
            _log.info("the Kubernetes Job %s already exists", launch.name)
        return f"kubernetes:{self._namespace}/{launch.name}"

    async def look(self, handle: str) -> WorkerStatus:
        name = self._name(handle)
        if name is None:
            return WorkerStatus(alive=None)
        try:
            seen = await self._look(name)
        except TrunklineError as error:
            if not self._away:
                _log.warning("the state of workers is unknown for now: %s", error)
            self._away = True
            return WorkerStatus(alive=None)
        self._away = False
        return seen

    async def stop(self, handle: str, *, force: bool) -> None:
        """Delete the Job and its pods. Where the API is away, the next call tries again."""
        name = self._name(handle)
        if name is None:
            return
        try:
            await self._delete(name)
        except TrunklineError as error:
            _log.warning("%s", error)

    def _of_launch(self, launch: Launch) -> Launch:
        """Without the database's URL where the template brings it."""
        if _DATABASE in self._secrets or not names_of_environment(self._template) & {_DATABASE, "*"}:
            return launch
        kept = {name: value for name, value in launch.environment.items() if name != _DATABASE}
        return Launch(launch.name, launch.arguments, kept)

    def _name(self, handle: str) -> str | None:
        """The Job of a handle, if it is one of this namespace."""
        start = f"kubernetes:{self._namespace}/"
        return handle.removeprefix(start) if handle.startswith(start) else None

    async def _look(self, name: str) -> WorkerStatus:
        try:
            job = await self._call(self._jobs.read_namespaced_job, name, self._namespace, what="read")
        except _MissingError:
            return WorkerStatus(alive=False, fate="is gone: its Kubernetes Job was deleted")
        status = job.status or client.V1JobStatus()
        states = {each.type for each in status.conditions or () if each.status == "True"}
        if "Complete" in states or status.succeeded:
            return WorkerStatus(alive=False, fate="ended with status 0")
        pods = await self._pods_of(name)
        if "Failed" in states or status.failed:
            failed = (each for each in status.conditions or () if each.type == "Failed")
            return WorkerStatus(alive=False, fate=_end(pods) or _reason(next(failed, None)))
        stuck = _stuck(pods)
        if stuck:
            await self._delete(name)  # or it would begin when nobody waits for it any more
            return WorkerStatus(alive=False, fate=stuck)
        return WorkerStatus(alive=True)

    async def _pods_of(self, name: str) -> list[Any]:
        """[] where they are not to be seen: then the Job alone has to say what happened."""
        try:
            found = await self._call(
                self._pods.list_namespaced_pod,
                self._namespace,
                label_selector=f"batch.kubernetes.io/job-name={name}",
                what="list the pods of",
            )
        except (_MissingError, ConfigurationError) as error:
            _log.debug("%s", error)
            return []
        return list(found.items)

    async def _delete(self, name: str) -> None:
        try:
            await self._call(
                self._jobs.delete_namespaced_job,
                name,
                self._namespace,
                propagation_policy="Background",
                what="delete",
            )
        except _MissingError:
            return

    async def _call(self, method: Callable[..., T], *arguments: Any, what: str, **options: Any) -> T:
        try:
            return await asyncio.to_thread(method, *arguments, _request_timeout=_TIMEOUT_S, **options)
        except ApiException as error:
            _explain(error, f"{what} a Kubernetes Job in namespace {self._namespace!r}")
        except (HTTPError, OSError) as error:
            _log.debug("the Kubernetes API", exc_info=error)
            raise ServiceUnavailableError("the Kubernetes API cannot be reached", service="kubernetes") from error


class _MissingError(TrunklineError):
    pass


class _ConflictError(TrunklineError):
    pass


def _explain(error: ApiException, doing: str) -> NoReturn:
    said = _message(error)
    if error.status == _NOT_FOUND:
        raise _MissingError(f"cannot {doing}: {said}") from error
    if error.status == _CONFLICT:
        raise _ConflictError(f"cannot {doing}: {said}") from error
    if not error.status or error.status == _TOO_MANY or error.status >= _BROKEN:
        raise ServiceUnavailableError(f"cannot {doing} now: {said}", service="kubernetes") from error
    raise ConfigurationError(f"the Kubernetes API refuses to {doing} ({error.status}): {said}") from error


def _message(error: ApiException) -> str:
    """What the API server says, which is for operators; on one line."""
    try:
        said = yaml.safe_load(error.body or "")
    except yaml.YAMLError:
        said = None
    text = said.get("message") if isinstance(said, dict) else None
    return " ".join(str(text or error.reason or "no reason given").split())


def _reason(condition: Any) -> str:
    if condition is None or not condition.reason:
        return "failed"
    return f"failed: {condition.reason}" + (f": {condition.message}" if condition.message else "")


def _end(pods: Iterable[Any]) -> str:
    """How a worker's container ended, "" where no pod says so."""
    for pod in pods:
        for each in _containers(pod):
            ended = each.state and each.state.terminated
            if ended and ended.exit_code:
                why = f" ({ended.reason})" if ended.reason and ended.reason != "Error" else ""
                return f"ended with status {ended.exit_code}{why}"
        if pod.status and pod.status.reason:
            return f"was ended by the cluster: {pod.status.reason}"
    return ""


def _stuck(pods: Iterable[Any]) -> str:
    """Why a worker's container will never begin, "" where it may."""
    for pod in pods:
        for each in _containers(pod):
            waiting = each.state and each.state.waiting
            if waiting and waiting.reason in _HOPELESS:
                more = f": {waiting.message}" if waiting.message else ""
                return f"could not be started: {waiting.reason}{more}"
    return ""


def _containers(pod: Any) -> list[Any]:
    """Status of the worker's container first, then those of others."""
    status = pod.status
    found = [*(status.container_statuses or ()), *(status.init_container_statuses or ())] if status else []
    return sorted(found, key=lambda each: each.name != CONTAINER)


def _configuration() -> client.Configuration:
    """That of the pod that this runs in, or else of kubeconfig."""
    found = client.Configuration()
    found.retries = 0  # the scheduler asks again by itself
    try:
        config.load_incluster_config(found)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        try:
            named = os.environ.get("KUBECONFIG")
            config.load_kube_config(named, client_configuration=found)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise ConfigurationError(
                f"no Kubernetes cluster is configured, neither by a service account nor by KUBECONFIG: {error}"
            ) from error
    return found


def _read_template(path: str, image: str) -> dict[str, Any]:
    if not path:
        return check_template({}, image, "the pod template that is built in")
    origin = f"TRUNKLINE_TRAINING_KUBERNETES_TEMPLATE {path}"
    try:
        return check_template(yaml.safe_load(Path(path).read_text(encoding="utf-8")), image, origin)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{origin} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{origin} is not YAML: {' '.join(str(error).split())}") from error


def _secrets(settings: Settings, template: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Where a worker gets the database's URL, if it may not stand in a manifest."""
    named = settings.training_kubernetes_database_secret
    if named:
        secret, _, key = named.partition("/")
        return {_DATABASE: (secret, key)}
    told = names_of_environment(template) & {_DATABASE, "*"}
    if _has_password(settings.training_database) and not told:
        raise ConfigurationError(
            "the URL of the job database has a password, which is for no manifest: put the URL into a Secret and set "
            "TRUNKLINE_TRAINING_KUBERNETES_DATABASE_SECRET to NAME/KEY"
        )
    return {}


def _has_password(database: str) -> bool:
    try:
        url = make_url(database)
    except ArgumentError:
        return False  # whoever opens it says what is wrong
    return url.password is not None or "password" in url.query

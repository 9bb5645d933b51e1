"""The manifest of a worker's Kubernetes Job: the operators' pod template with what a worker needs filled in.

Plain dictionaries in the words of the Kubernetes API; nothing here talks to a cluster.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from trunkline.core.errors import ConfigurationError
from trunkline.jobs.launcher import Launch

CONTAINER = "worker"
_TTL_S = 3600
_ID = 65532  # of a user and group that nobody is
_POD = {
    "restartPolicy": "Never",
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
}
_POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": _ID,
    "runAsGroup": _ID,
    "fsGroup": _ID,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_SCRATCH = "/tmp"


def check_template(template: Any, image: str, origin: str) -> dict[str, Any]:
    """A pod template as it was read from YAML: a mapping with `spec` and perhaps `metadata`.

    Raises ConfigurationError where it is none, or where neither it nor the setting names an image.
    """
    if not isinstance(template, dict) or not isinstance(template.get("spec", {}), dict):
        raise ConfigurationError(f"{origin} is not a pod template: write a mapping `spec`, and optionally `metadata`")
    containers = template.get("spec", {}).get("containers", [])
    if not isinstance(containers, list) or not all(isinstance(each, dict) for each in containers):
        raise ConfigurationError(f"{origin}: spec.containers must be a list of containers")
    if not image and not _worker(containers).get("image"):
        raise ConfigurationError(
            f"no image to run: set TRUNKLINE_TRAINING_KUBERNETES_IMAGE, or name one in the container {CONTAINER!r} "
            "of the pod template"
        )
    return template


def names_of_environment(template: Mapping[str, Any]) -> set[str]:
    """Variables that the template's worker container sets itself; "*" where it takes some from elsewhere."""
    worker = _worker(template.get("spec", {}).get("containers", []))
    named = {str(each.get("name")) for each in worker.get("env", [])}
    return named | ({"*"} if worker.get("envFrom") else set())


def manifest(
    launch: Launch, template: Mapping[str, Any], namespace: str, image: str, secrets: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """A batch/v1 Job. secrets: variables that come from a Secret, as its name and key, instead of from the launch.

    The template wins in everything but the command, these variables and that a pod is never started twice.
    """
    pod = copy.deepcopy(dict(template))
    labels = {
        "app.kubernetes.io/name": "trunkline",
        "app.kubernetes.io/component": "training-worker",
        "app.kubernetes.io/managed-by": "trunkline",
        "app.kubernetes.io/instance": launch.name,
    }
    metadata = pod.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    spec = pod.setdefault("spec", {})
    for key, value in _POD.items():
        spec.setdefault(key, value)
    spec["restartPolicy"] = "Never"
    spec["securityContext"] = {**copy.deepcopy(_POD_SECURITY), **(spec.get("securityContext") or {})}
    containers = spec.setdefault("containers", [])
    worker = _worker(containers)
    if worker not in containers:
        containers.append(worker)
    _fill(worker, spec, launch, image, secrets)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": launch.name, "namespace": namespace, "labels": labels},
        # Another attempt is the scheduler's to make, which knows of the checkpoints; no end in time.
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": _TTL_S, "template": pod},
    }


def _worker(containers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return next((each for each in containers if each.get("name") == CONTAINER), {"name": CONTAINER})


def _fill(
    worker: dict[str, Any],
    spec: dict[str, Any],
    launch: Launch,
    image: str,
    secrets: Mapping[str, tuple[str, str]],
) -> None:
    if image:
        worker["image"] = image
    worker["command"] = ["python", *launch.arguments]
    worker.pop("args", None)
    worker["securityContext"] = {**copy.deepcopy(_CONTAINER_SECURITY), **(worker.get("securityContext") or {})}
    own = _environment(launch.environment, secrets)
    theirs = [each for each in worker.get("env") or [] if each.get("name") not in {item["name"] for item in own}]
    # Libraries keep caches in the home folder.
    home = [] if any(each.get("name") == "HOME" for each in theirs) else [{"name": "HOME", "value": _SCRATCH}]
    worker["env"] = [*theirs, *home, *own]
    mounts = worker.setdefault("volumeMounts", [])
    if not any(mount.get("mountPath") == _SCRATCH for mount in mounts):
        mounts.append({"name": "scratch", "mountPath": _SCRATCH})
        spec.setdefault("volumes", []).append({"name": "scratch", "emptyDir": {}})


def _environment(values: Mapping[str, str], secrets: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    plain = [{"name": name, "value": value} for name, value in values.items() if name not in secrets]
    referred = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for name, (secret, key) in secrets.items()
    ]
    return [*plain, *referred]

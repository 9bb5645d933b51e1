"""The Pod Security Standard `restricted`, with a read-only root file system on top.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from collections.abc import Iterator
from typing import Any

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_PROFILES = ("RuntimeDefault", "Localhost")


def faults(spec: dict[str, Any]) -> list[str]:
    """What keeps a pod spec from being restricted."""
    return [*_of_pod(spec), *(fault for each in _containers(spec) for fault in _of_container(each, spec))]


def _containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec["containers"], *spec.get("initContainers", []), *spec.get("ephemeralContainers", [])]


def _of_pod(spec: dict[str, Any]) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    for volume in spec.get("volumes", []):
        if set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']}"
    security = spec.get("securityContext", {})
    for name in ("sysctls", "windowsOptions", "seLinuxOptions"):
        if name in security:
            yield name


def _of_container(container: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    name, own = container["name"], container.get("securityContext", {})
    both = {**spec.get("securityContext", {}), **own}
    wanted = {
        "privileged": not own.get("privileged"),
        "privilege escalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
        "root": both.get("runAsNonRoot") is True and both.get("runAsUser") != 0,
        "seccomp": both.get("seccompProfile", {}).get("type") in _PROFILES,
        "writable root": own.get("readOnlyRootFilesystem") is True,
        "host port": not any(port.get("hostPort") for port in container.get("ports", [])),
        "proc mount": own.get("procMount", "Default") == "Default",
    }
    yield from (f"{name}: {what}" for what, holds in wanted.items() if not holds)

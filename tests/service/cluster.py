"""A Kubernetes API on loopback, emulated, and containers of its Jobs run as processes of this machine."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kmock
import yaml
from kubernetes import client, config

NAMESPACE = "vision"


class Cluster:
    """The API at `url`; `kubeconfig` leads a client there."""

    def __init__(self, url: str, folder: Path) -> None:
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(url)))
        found = client.Configuration()
        config.load_kube_config(str(self.kubeconfig), client_configuration=found)
        self._client = client.ApiClient(found)
        self.api, self.pods = client.BatchV1Api(self._client), client.CoreV1Api(self._client)

    def jobs(self) -> list[dict[str, Any]]:
        """The Jobs there are, as the API tells them."""
        try:
            found = self.api.list_namespaced_job(NAMESPACE, _preload_content=False)
        except client.ApiException as error:
            if error.status == 404:  # nothing of the kind was ever there
                return []
            raise
        return yaml.safe_load(found.data)["items"]

    def say(self, name: str, **status: Any) -> None:
        """What a controller would say of a Job."""
        self.api.patch_namespaced_job_status(name, NAMESPACE, {"status": status})

    def add_pod(self, job: str, **container: Any) -> None:
        """A pod of the Job whose worker is in this state."""
        labels = {"batch.kubernetes.io/job-name": job}
        state = {"name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": container}
        self.pods.create_namespaced_pod(
            NAMESPACE,
            {
                "metadata": {"name": f"{job}-pod", "namespace": NAMESPACE, "labels": labels},
                "status": {"containerStatuses": [state]},
            },
        )

    def close(self) -> None:
        self._client.close()


@contextmanager
def emulated_cluster(folder: Path) -> Iterator[tuple[Cluster, Any]]:
    """The cluster, and the emulator's handler for what else it is to answer."""
    loop, started, emulator = asyncio.new_event_loop(), threading.Event(), kmock.KubernetesEmulator()
    found: dict[str, Any] = {}

    async def serve() -> None:
        async with emulator, kmock.Server(emulator) as server:
            found["url"], found["stop"] = str(server.url), asyncio.Event()
            started.set()
            await found["stop"].wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(30)
        cluster = Cluster(found["url"].rstrip("/"), folder)
        yield cluster, emulator
        cluster.close()
    finally:
        loop.call_soon_threadsafe(found["stop"].set)
        thread.join(30)
        loop.close()


def run_container(job: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]], log: Path) -> subprocess.Popen:
    """Run the container of a Job as a process that has what the manifest gives it, and the packages of an image."""
    container = job["spec"]["template"]["spec"]["containers"][0]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # of the image
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    for each in container["env"]:
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        environment[each["name"]] = secrets[reference["name"]][reference["key"]] if reference else each["value"]
    with log.open("wb") as output:
        return subprocess.Popen(container["command"], env=environment, stderr=output, start_new_session=True)


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {"token": "none"}}],
    }

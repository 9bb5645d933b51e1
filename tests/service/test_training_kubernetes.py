"""Jobs as Kubernetes Jobs: a real training service, the official client, an emulated API, and real workers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("kubernetes", reason="needs the kubernetes extra: pip install -e '.[kubernetes]'")
pytest.importorskip("kmock", reason="needs the dev extra: pip install -e '.[dev]'")

import kubernetes_validate
import yaml

from tests.conftest import free_port
from tests.service.cluster import NAMESPACE, Cluster, emulated_cluster, run_container
from tests.service.crops import class_folders
from tests.service.jobs import Place, make_place, request, start_training, wait_until
from trunkline.client import Epoch, Job, JobState, StateChange, TrainingClient
from trunkline.core.errors import ConfigurationError, ServiceUnavailableError
from trunkline.jobs.kubernetes import KubernetesLauncher
from trunkline.jobs.launcher import Launch
from trunkline.serving.settings import Settings, read_settings

LAUNCH = Launch("job-1-a", ("-m", "trunkline.training.worker", "job-1"), {"TRUNKLINE_WORKER_OWNER": "a"})
VERSION = "1.34"  # of the schemas


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("data"), samples)


@pytest.fixture
def place(tmp_path, models):
    return make_place(tmp_path / "service", models)


@pytest.fixture
def emulated(tmp_path):
    with emulated_cluster(tmp_path) as found:
        yield found


@pytest.fixture
def cluster(emulated, monkeypatch) -> Cluster:
    monkeypatch.setenv("KUBECONFIG", str(emulated[0].kubeconfig))
    return emulated[0]


@contextmanager
def on_kubernetes(place: Place, cluster: Cluster, **more: str) -> Iterator[TrainingClient]:
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "TRUNKLINE_TRAINING_LAUNCHER": "kubernetes",
        "TRUNKLINE_TRAINING_KUBERNETES_NAMESPACE": NAMESPACE,
        "TRUNKLINE_TRAINING_KUBERNETES_IMAGE": "registry.example/trunkline:1",
        "TRUNKLINE_TRAINING_KUBERNETES_DATABASE_SECRET": "jobs/url",
        **more,
    }
    with start_training(place, **environment) as server, TrainingClient(server.address) as client:
        yield client


def job_of(cluster: Cluster, *known: str) -> dict[str, Any]:
    """The Job that is there and was not before."""

    def new() -> list[dict[str, Any]]:
        return [job for job in cluster.jobs() if job["metadata"]["name"] not in known]

    wait_until(lambda: len(new()) == 1)
    return new()[0]


def states(client: TrainingClient, job: str) -> list[tuple[str, str]]:
    return [(e.what.state, e.what.note) for e in client.watch(job) if isinstance(e.what, StateChange)]


def after_first_epoch(client: TrainingClient, job: str) -> None:
    next(event for event in client.watch(job) if isinstance(event.what, Epoch))


def settings(**changes: Any) -> Settings:
    fields = {"training_kubernetes_namespace": NAMESPACE, "training_kubernetes_image": "trunkline:1"}
    return read_settings(**{**fields, **changes})


def test_the_container_of_the_created_job_does_the_whole_job(place, cluster, data):
    secrets = {"jobs": {"url": place.database}}
    with on_kubernetes(place, cluster) as client:
        job = client.create(request(data)).id
        created = job_of(cluster)
        kubernetes_validate.validate(created, VERSION, strict=True)
        assert place.database not in str(created)
        worker = run_container(created, secrets, place.folder / "worker")
        name = created["metadata"]["name"]
        found = client.wait(job)
        assert worker.wait(60) == 0
        cluster.say(name, succeeded=1, conditions=[{"type": "Complete", "status": "True"}])
        assert (found.state, found.model_version, found.attempt) == (JobState.SUCCEEDED, "1", 1)
        assert found.metrics["accuracy"] >= 0.9
        assert place.versions() == ["1"]
        wait_until(lambda: place.left_over() == [])
        # The pod stays for whoever wants its log, for as long as the cluster keeps it.
        assert [each["metadata"]["name"] for each in cluster.jobs()] == [name]


def test_a_cancelled_job_is_deleted_and_its_worker_stops(place, cluster, data):
    with on_kubernetes(place, cluster) as client:
        job = client.create(request(data, 10_000)).id
        worker = run_container(job_of(cluster), {"jobs": {"url": place.database}}, place.folder / "worker")
        after_first_epoch(client, job)
        client.cancel(job)
        wait_until(lambda: cluster.jobs() == [])
        worker.terminate()  # as the cluster does with the pods of a Job that is deleted
        assert client.wait(job).state is JobState.CANCELLED
        assert worker.wait(60) in (0, 143, -15)
        wait_until(lambda: place.left_over() == [])


def test_a_job_that_is_cancelled_before_its_pod_begins_is_deleted_too(place, cluster, data):
    with on_kubernetes(place, cluster) as client:
        job = client.create(request(data)).id
        job_of(cluster)
        client.cancel(job)
        assert client.wait(job).state is JobState.CANCELLED
        assert cluster.jobs() == []


def test_whatever_ends_a_worker_is_named_and_the_third_time_is_the_last(place, cluster, data):
    with on_kubernetes(place, cluster) as client:
        job = client.create(request(data)).id
        first = job_of(cluster)["metadata"]["name"]
        cluster.add_pod(first, terminated={"exitCode": 137, "reason": "OOMKilled"})
        cluster.say(first, failed=1, conditions=[{"type": "Failed", "status": "True", "reason": "Backoff"}])
        second = job_of(cluster, first)["metadata"]["name"]
        cluster.pods.delete_namespaced_pod(f"{first}-pod", NAMESPACE)  # the emulator knows no label selectors
        cluster.add_pod(second, waiting={"reason": "ImagePullBackOff", "message": "no such image"})
        third = job_of(cluster, first, second)["metadata"]["name"]
        assert second not in [each["metadata"]["name"] for each in cluster.jobs()]
        cluster.pods.delete_namespaced_pod(f"{second}-pod", NAMESPACE)
        cluster.api.delete_namespaced_job(third, NAMESPACE)
        found: Job = client.wait(job)
        notes = [note for state, note in states(client, job) if state == JobState.QUEUED]
    assert "the worker ended with status 137 (OOMKilled)" in notes[1]
    assert "the worker could not be started: ImagePullBackOff: no such image" in notes[2]
    assert (found.state, found.error.reason) == (JobState.FAILED, "WORKER_DIED")
    assert "its Kubernetes Job was deleted" in found.error.message


def test_an_api_that_is_away_is_no_death(place, tmp_path, data):
    with emulated_cluster(tmp_path) as (cluster, emulator), on_kubernetes(place, cluster) as client:
        job = client.create(request(data, 40)).id
        worker = run_container(job_of(cluster), {"jobs": {"url": place.database}}, place.folder / "worker")
        emulator[...] << 503
        found = client.wait(job)
        assert (found.state, found.attempt) == (JobState.SUCCEEDED, 1)
        assert worker.wait(60) == 0


async def test_creating_the_same_worker_twice_makes_one(cluster):
    launcher = KubernetesLauncher(settings())
    handle = await launcher.start(LAUNCH)
    assert await launcher.start(LAUNCH) == handle == f"kubernetes:{NAMESPACE}/job-1-a"
    assert len(cluster.jobs()) == 1
    assert (await launcher.look(handle)).alive
    await launcher.stop(handle, force=False)
    await launcher.stop(handle, force=True)
    assert (await launcher.look(handle)).alive is False
    assert (await launcher.look("local:here:1:2")).alive is None


@pytest.mark.parametrize(("status", "error"), [(403, ConfigurationError), (500, ServiceUnavailableError)])
async def test_a_refusal_says_what_the_api_said(emulated, cluster, status, error):
    answer = {"kind": "Status", "status": "Failure", "message": "jobs.batch is forbidden", "code": status}
    emulated[1]["post"] << status << answer
    with pytest.raises(error, match=r"jobs\.batch is forbidden"):
        await KubernetesLauncher(settings()).start(LAUNCH)


async def test_no_api_at_all_is_said_too(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(Cluster(f"http://127.0.0.1:{free_port()}", tmp_path).kubeconfig))
    launcher = KubernetesLauncher(settings())
    with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
        await launcher.start(LAUNCH)
    assert (await launcher.look(f"kubernetes:{NAMESPACE}/job-1-a")).alive is None
    await launcher.stop(f"kubernetes:{NAMESPACE}/job-1-a", force=True)


async def test_the_template_is_the_operators_and_the_rest_is_restricted(cluster, tmp_path):
    template = tmp_path / "pod.yaml"
    template.write_text(
        yaml.safe_dump(
            {
                "metadata": {"labels": {"team": "vision"}},
                "spec": {
                    "serviceAccountName": "trainer",
                    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
                    "securityContext": {"runAsUser": 1000},
                    "containers": [
                        {
                            "name": "worker",
                            "image": "own:2",
                            "env": [{"name": "TRUNKLINE_TRAINING_DATABASE", "value": "postgresql://elsewhere/jobs"}],
                            "resources": {"limits": {"memory": "4Gi"}},
                            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        }
                    ],
                },
            }
        )
    )
    launch = Launch(LAUNCH.name, LAUNCH.arguments, {**LAUNCH.environment, "TRUNKLINE_TRAINING_DATABASE": "sqlite://"})
    changes = {"training_kubernetes_template": str(template), "training_kubernetes_image": ""}
    await KubernetesLauncher(settings(**changes)).start(launch)
    created = job_of(cluster)
    kubernetes_validate.validate(created, VERSION, strict=True)
    pod = created["spec"]["template"]
    worker = pod["spec"]["containers"][0]
    assert created["spec"]["backoffLimit"] == 0
    assert created["spec"]["ttlSecondsAfterFinished"] > 0
    assert pod["metadata"]["labels"]["team"] == "vision"
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "trunkline"
    assert (pod["spec"]["serviceAccountName"], pod["spec"]["restartPolicy"]) == ("trainer", "Never")
    assert (pod["spec"]["securityContext"]["runAsUser"], pod["spec"]["securityContext"]["runAsNonRoot"]) == (
        1000,
        True,
    )
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert worker["image"] == "own:2"
    assert worker["command"] == ["python", "-m", "trunkline.training.worker", "job-1"]
    assert worker["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in worker["volumeMounts"]] == ["/data", "/tmp"]
    databases = [each["value"] for each in worker["env"] if each["name"] == "TRUNKLINE_TRAINING_DATABASE"]
    assert databases == ["postgresql://elsewhere/jobs"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"training_kubernetes_image": ""}, "no image to run: set TRUNKLINE_TRAINING_KUBERNETES_IMAGE"),
        ({"training_database": "postgresql://me:word@host/jobs"}, "TRUNKLINE_TRAINING_KUBERNETES_DATABASE_SECRET"),
        ({"training_kubernetes_template": "/none.yaml"}, "cannot be read"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(cluster, changes, match):
    with pytest.raises(ConfigurationError, match=match) as caught:
        KubernetesLauncher(settings(**changes))
    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize("text", ["- a list", "spec: 5", "{", "spec: {containers: [5]}", ""])
def test_a_template_that_is_none_is_refused_by_name(cluster, tmp_path, text):
    (tmp_path / "pod.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"pod\.yaml"):
        KubernetesLauncher(settings(training_kubernetes_template=str(tmp_path / "pod.yaml")))


def test_without_a_cluster_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="no Kubernetes cluster is configured"):
        KubernetesLauncher(settings())

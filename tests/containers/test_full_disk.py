"""The disk under the job database is full: jobs are refused with what to do, and taken again once there is room."""

import pytest

from tests.containers.pods import Pods
from trunkline.client import ServiceError, TrainingClient, TrainRequest

pytestmark = pytest.mark.containers

FOLDER = "/var/lib/trunkline/training"
REQUEST = TrainRequest(name="none", data="/models")  # a folder without pictures: its worker ends soon
_FILL = f"""
with open("{FOLDER}/filler", "ab", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(512))
    except OSError as error:
        print(error.strerror)
"""
_CLEAR = f"import os; os.remove('{FOLDER}/filler')"


@pytest.fixture
def training(network: Pods, training_image: str):
    name = network.start(
        "training",
        "serve",
        "training",
        port=8504,
        image=training_image,
        memory="4g",
        options=[f"--tmpfs={FOLDER}:rw,size=4m,U"],
        environment={"TRUNKLINE_ADDRESS": "0.0.0.0:8504", "TRUNKLINE_DRAIN_PAUSE_S": "0"},
    )
    network.wait_serving(name)
    yield name
    network.remove(name)


@pytest.mark.timeout(600)
def test_a_full_disk_refuses_jobs_and_harms_none(training, network, capsys):
    """All of 20 new jobs are refused: none can be kept. The one before them is there, and so is one after them."""
    refused = []
    with TrainingClient(network.address(training)) as client:
        before = client.create(REQUEST)
        for _ in client.watch(before.id):
            pass
        ended = client.get(before.id)
        assert network.podman("exec", training, "python", "-c", _FILL) == "No space left on device"
        for number in range(20):
            with pytest.raises(ServiceError) as caught:
                client.create(REQUEST, f"job-{number}")
            refused.append(caught.value)
        assert client.get(before.id) == ended
        assert network.is_serving(training)
        network.podman("exec", training, "python", "-c", _CLEAR)
        after = client.create(REQUEST, "job-0")
        assert {job.id for job in client.list()} == {before.id, after.id}
    with capsys.disabled():
        print(f"\nfull disk: 20 jobs sent, {len(refused)} refused ({refused[0].message})")
    assert {error.code for error in refused} == {"UNAVAILABLE"}
    assert {error.message for error in refused} == {
        "the disk of the job database is full; make room there and try again"
    }

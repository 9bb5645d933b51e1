"""All services are up, with the rights that they are to have, and answer."""

import json
from pathlib import Path

import pytest

from trunkline.client import Client

pytestmark = pytest.mark.containers

LOOK = Path(__file__).with_name("look.py").read_text()


def test_every_service_runs_without_rights_a_shell_or_a_place_to_write_to(pairs):
    for names in pairs.running.values():
        found = json.loads(pairs.pods.podman("exec", names[0], "python", "-c", LOOK))
        assert (found["uid"], found["gid"]) == (65532, 65532)
        assert set(found["groups"]) <= {65532}
        assert found["capabilities"] == ["0" * 16] * 3
        assert found["no new privileges"] == "1"
        assert found["writable"] == ["/tmp", "/var/lib/trunkline"]
        assert all(name.startswith("python") for name in found["programs"])
        assert "/bin/sh" not in pairs.pods.podman("exec", names[0], "/bin/sh", "-c", "true", check=False)


def test_a_request_is_answered_end_to_end_by_each_gateway(pairs, samples):
    answers = []
    for name in pairs.running["gateway"]:
        with Client(pairs.pods.address(name)) as client:
            answers.append(client.analyze(samples / "coffee.jpg", ["imagenet", "digit-angle"], timeout_s=20))
    for answer in answers:
        assert [outcome.error for outcome in answer.outcomes] == [None, None]
        assert answer["imagenet"].value().labels[0].label == "espresso"
    assert answers[0]["imagenet"].value() == answers[1]["imagenet"].value()


def test_a_command_says_whether_a_container_serves(pairs):
    for command in (["trunkline-health"], ["trunkline", "health"]):
        ask = ("exec", pairs.running["gateway"][0], *command, "127.0.0.1:8500")
        assert pairs.pods.podman(*ask) == "SERVING"
        assert pairs.pods.podman(*ask, "--service", "head/imagenet") == "SERVING"
        assert pairs.pods.podman(*ask, "--service", "head/none", check=False) == ""


def test_the_image_says_what_it_is(network):
    labels = json.loads(network.podman("inspect", "--format={{json .Config.Labels}}", network.image))
    named = {key.removeprefix("org.opencontainers.image."): value for key, value in labels.items()}
    assert named["title"] == "Trunkline"
    assert named["licenses"] == "Apache-2.0"
    assert named["version"] == network.podman("run", "--rm", "--network=none", network.image, "version").split()[1]
    assert {"description", "revision", "source", "vendor"} <= set(named)

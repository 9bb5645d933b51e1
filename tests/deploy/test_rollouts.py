"""A rollout loses no call whatever DNS has kept, and clients are told the address for which that holds."""

import json

import pytest

from tests.deploy.chart import NAMESPACE, RELEASE, VALUES, of_kind, refusal, render, run_helm

KEPT_S = 30  # by kubeadm's CoreDNS
HEADLESS = f"dns:///{RELEASE}-gateway.{NAMESPACE}:8500"
FIXED = f"{RELEASE}.{NAMESPACE}:8500"


def notes(values: str, *sets: str) -> str:
    further = [word for each in sets for word in ("--set-json", each)]
    done = run_helm(
        "install", RELEASE, ".", "--dry-run=client", "--output=json", "--namespace", NAMESPACE, "-f", values, *further
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["info"]["notes"]


@pytest.mark.parametrize("values", VALUES)
def test_old_pods_go_once_no_kept_answer_is_without_the_new_ones(values):
    """Every Deployment is found through a headless Service."""
    for each in of_kind(render(values), "Deployment"):
        assert each["spec"]["minReadySeconds"] >= KEPT_S + 5, each["metadata"]["name"]


def test_how_long_is_a_value_with_bounds():
    (found,) = {
        each["spec"]["minReadySeconds"] for each in of_kind(render("values.yaml", "minReadySeconds=0"), "Deployment")
    }
    assert found == 0
    # A Deployment is taken to have failed after 600 s, and the API refuses what is as long.
    assert "minReadySeconds" in refusal("values.yaml", "minReadySeconds=600")


@pytest.mark.parametrize(
    ("values", "sets"),
    [
        ("values-minimal.yaml", []),
        ("values.yaml", ["gateway.replicas=1"]),
        ("values-colocated.yaml", ["colocated.replicas=1"]),
    ],
)
def test_clients_of_one_gateway_are_told_the_address_that_stays(values, sets):
    found = notes(values, *sets)
    assert FIXED in found
    assert HEADLESS not in found
    assert "With one gateway that is the address for every client" in found


@pytest.mark.parametrize(
    ("values", "sets"),
    [
        ("values.yaml", []),
        ("values-colocated.yaml", []),
        ("values-minimal.yaml", ["allInOne.replicas=2"]),
        ("values.yaml", ["gateway.replicas=1", 'gateway.autoscaling={"enabled": true}']),
    ],
)
def test_clients_of_several_gateways_are_told_the_name_of_all(values, sets):
    found = notes(values, *sets)
    assert HEADLESS in found
    assert FIXED in found

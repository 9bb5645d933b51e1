"""How many replicas a Deployment is told to have, with and without an autoscaler, new and live."""

import pytest

from tests.deploy.api import cluster_with
from tests.deploy.chart import NAMESPACE, RELEASE, VALUES, Manifest, of_kind, render, render_on

_SCALED = 'backbone.autoscaling={"enabled": true, "minReplicas": 3, "maxReplicas": 9}'


def replicas(manifests: list[Manifest]) -> dict[str, int]:
    return {each["metadata"]["name"]: each["spec"].get("replicas") for each in of_kind(manifests, "Deployment")}


def living(manifests: list[Manifest], **counts: int) -> list[Manifest]:
    """The Deployments of `manifests` as Helm made them in a cluster, with these replicas by component."""
    owned = {"meta.helm.sh/release-name": RELEASE, "meta.helm.sh/release-namespace": NAMESPACE}
    found = []
    for each in of_kind(manifests, "Deployment"):
        count = counts.get(each["metadata"]["name"].removeprefix(f"{RELEASE}-"))
        if count is not None:
            metadata = {**each["metadata"], "annotations": owned}
            found.append({**each, "metadata": metadata, "spec": {**each["spec"], "replicas": count}})
    return found


def test_a_first_install_begins_at_the_least_replicas_of_the_autoscaler():
    plain, scaled = replicas(render()), replicas(render("values.yaml", _SCALED))
    assert plain["trunkline-backbone"] == 2
    assert scaled == plain | {"trunkline-backbone": 3}


@pytest.mark.parametrize("count", [0, 1, 2, 6, 20])
def test_an_autoscaler_that_is_switched_on_keeps_the_replicas_there_are(count, tmp_path):
    manifests = render("values.yaml", _SCALED)
    with cluster_with(living(manifests, backbone=count, gateway=5), manifests, tmp_path) as kubeconfig:
        found = replicas(render_on(kubeconfig, "values.yaml", _SCALED))
    assert found["trunkline-backbone"] == count
    assert found["trunkline-gateway"] == 2  # nobody scales it but who sets its replicas


def test_an_upgrade_keeps_what_every_autoscaler_has_decided(tmp_path):
    manifests = render("values-production.yaml")
    live = living(manifests, backbone=17, gateway=4, **{"head-detection": 8})
    with cluster_with(live, manifests, tmp_path) as kubeconfig:
        found = replicas(render_on(kubeconfig, "values-production.yaml"))
    assert (found["trunkline-backbone"], found["trunkline-gateway"], found["trunkline-head-detection"]) == (17, 4, 8)
    assert found["trunkline-head-similarity"] == 2  # which is new: its least


@pytest.mark.parametrize("values", VALUES)
def test_every_deployment_says_how_many(values):
    assert all(isinstance(count, int) and count >= 1 for count in replicas(render(values)).values())

"""What an installation asks of its nodes, as the manifests say it: its requests, and those of a rollout."""

import re
from dataclasses import dataclass

import pytest

from tests.deploy.chart import ROOT, VALUES, Manifest, cores, mebibytes, of_kind, render

# Of a node of 4 CPU and 8 GiB, beside the kubelet and what a cluster of one node runs itself.
_SMALL_CPU, _SMALL_REQUESTS_MIB, _SMALL_LIMITS_MIB = 3.0, 4 * 1024, 7 * 1024
_INSTALL = (ROOT / "docs/operate/runbooks/install.md").read_text()


@dataclass(frozen=True)
class Size:
    """Cores, and MiB asked for and at most."""

    cpu: float
    requests_mib: float
    limits_mib: float


def size(manifests: list[Manifest], *, rolling: bool = False) -> Size:
    """Of all pods of the Deployments; `rolling`: with one more of each that is replaced beside itself."""
    cpu = requests_mib = limits_mib = 0.0
    for each in of_kind(manifests, "Deployment"):
        spec = each["spec"]
        surge = spec["strategy"].get("rollingUpdate", {}).get("maxSurge", 0)
        count = spec["replicas"] + (surge if rolling else 0)
        for container in spec["template"]["spec"]["containers"]:
            resources = container["resources"]
            cpu += count * cores(resources["requests"]["cpu"])
            requests_mib += count * mebibytes(resources["requests"]["memory"])
            limits_mib += count * mebibytes(resources["limits"]["memory"])
    return Size(cpu, requests_mib, limits_mib)


def test_a_small_installation_fits_a_node_of_4_cpu_and_8_gib_while_all_of_it_is_replaced():
    manifests = render("values-small.yaml")
    rolling, still = size(manifests, rolling=True), size(manifests)
    assert rolling.cpu <= _SMALL_CPU, rolling
    assert rolling.requests_mib <= _SMALL_REQUESTS_MIB, rolling
    assert still.limits_mib <= _SMALL_LIMITS_MIB, still


def test_a_small_installation_has_what_the_default_one_has():
    def names(values: str) -> set[str]:
        return {each["metadata"]["name"] for each in of_kind(render(values), "Deployment")}

    assert names("values-small.yaml") == names("values.yaml")


def test_the_default_one_does_not_fit_there():
    assert size(render()).cpu > 4


# The one of exec probes goes beside another file, whose size it does not change.
@pytest.mark.parametrize("values", [each for each in VALUES if each != "values-exec-probes.yaml"])
def test_the_installation_page_says_what_each_values_file_asks_for(values):
    (row,) = [line for line in _INSTALL.splitlines() if f"| `{values}` |" in line or _is_default(line, values)]
    found = size(render(values))
    (said,) = re.findall(r"\| ([\d.]+) CPU, ([\d.]+) GiB \|", row)
    assert [float(each) for each in said] == [round(found.cpu, 2), round(found.requests_mib / 1024, 1)]


def _is_default(line: str, values: str) -> bool:
    return values == "values.yaml" and "| none |" in line

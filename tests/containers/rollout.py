"""What a cluster does with the pods of a Deployment and what DNS says of them, with the times of the chart."""

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import yaml

from tests.conftest import ROOT
from tests.containers.pods import Pods
from tests.containers.stack import COMPONENTS, Stack

KEPT_S = 30.0  # by kubeadm's CoreDNS
# Those whose headless Service publishes pods that are not ready, and such as end.
_ALWAYS_PUBLISHED = ("backbone", "head-classification", "head-regression")


@dataclass(frozen=True)
class Times:
    """Seconds, as the chart has them."""

    min_ready: float
    pre_stop: float

    @classmethod
    def of_the_chart(cls) -> Self:
        """TRUNKLINE_MIN_READY_S is there to see what is lost with another time."""
        values = yaml.safe_load((ROOT / "deploy/chart/values.yaml").read_text())
        min_ready = os.environ.get("TRUNKLINE_MIN_READY_S", values["minReadySeconds"])
        return cls(float(min_ready), float(values["drain"]["preStop"]))


class FixedAddress:
    """A ClusterIP, as kube-proxy makes it of iptables: each new connection goes to one of the pods that are ready."""

    def __init__(self, pods: Pods, service: str) -> None:
        self._pods, self._service = pods, service
        self._port = COMPONENTS[service].port
        self.host = str(pods.subnet()[5])

    @property
    def target(self) -> str:
        return f"{self.host}:{self._port}"

    def follow(self) -> None:
        """Take the pods that DNS has now."""
        assert self._pods.names is not None
        ready = self._pods.names.addresses[self._service]
        _iptables("nat", "-F", _CHAIN)
        for number, address in enumerate(ready):
            share = ("-m", "statistic", "--mode", "nth", "--every", str(len(ready) - number), "--packet", "0")
            match = ("-p", "tcp", "-d", self.host, "--dport", str(self._port))
            _iptables(
                "nat", "-A", _CHAIN, *match, *share, "-j", "DNAT", "--to-destination", f"{address}:{self._port}"
            )


_CHAIN = "TRUNKLINE"


def _iptables(table: str, *arguments: str) -> None:
    subprocess.run(["iptables", "-w", "-t", table, *arguments], check=True, capture_output=True)


@contextmanager
def fixed_address(pods: Pods, service: str) -> Iterator[FixedAddress]:
    """For the network namespace of the test, in which the bridge of the containers is; once one of them runs."""
    made = FixedAddress(pods, service)
    bridge = pods.podman("network", "inspect", "--format={{.NetworkInterface}}", pods.network)
    subnet = str(pods.subnet())
    subprocess.run(["ip", "address", "add", f"{made.host}/{pods.subnet().prefixlen}", "dev", bridge], check=True)
    subprocess.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
    _iptables("nat", "-N", _CHAIN)
    rules = (
        ("nat", "PREROUTING", "-j", _CHAIN),
        # Answers come back this way, too, so that what was changed is changed back.
        ("nat", "POSTROUTING", "-s", subnet, "-d", subnet, "-j", "MASQUERADE"),
        ("filter", "FORWARD", "-s", subnet, "-d", subnet, "-j", "ACCEPT"),
    )
    for table, chain, *rule in rules:
        _iptables(table, "-I", chain, *rule)
    try:
        made.follow()
        yield made
    finally:
        for table, chain, *rule in rules:
            _iptables(table, "-D", chain, *rule)
        _iptables("nat", "-F", _CHAIN)
        _iptables("nat", "-X", _CHAIN)


class Rollout:
    """`kubectl rollout restart` with maxSurge 1 and maxUnavailable 0."""

    def __init__(self, stack: Stack, service: str, times: Times, address: FixedAddress | None = None) -> None:
        self._stack, self._service, self._times, self._address = stack, service, times, address
        self._published = service in _ALWAYS_PUBLISHED

    def run(self) -> float:
        """Replace every pod, and wait until the old ones have ended; the seconds that took."""
        began_at = time.monotonic()
        with ThreadPoolExecutor() as kubelets:
            ends: list[Future[None]] = []
            for old in list(self._stack.running[self._service]):
                self._one_more()
                time.sleep(self._times.min_ready)
                if not self._published:
                    self._withdraw(old)
                ends.append(kubelets.submit(self._end, old))
            for end in ends:
                end.result()
        return time.monotonic() - began_at

    def _one_more(self) -> None:
        new = self._stack.add(self._service, published=self._published)
        self._stack.pods.wait_serving(new)
        if not self._published:
            self._stack.pods.publish(self._service, new)
            self._follow()

    def _end(self, old: str) -> None:
        time.sleep(self._times.pre_stop)
        status = self._stack.pods.stop(old)
        assert status == 0, f"{old} ended with {status}: {self._stack.pods.logs(old)}"
        if self._published:
            self._withdraw(old)
        self._stack.forget(self._service, old)

    def _withdraw(self, old: str) -> None:
        self._stack.pods.withdraw(self._service, old)
        self._follow()

    def _follow(self) -> None:
        if self._address is not None:
            self._address.follow()

"""What the chart renders answers: its pods as processes that find each other by the names of its Services."""

import json
import urllib.request
from collections import Counter

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.certificates import Authority
from tests.deploy.chart import named, render
from tests.service.access import key_of, write_access
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import Client, Credentials
from trunkline.client.connection import open_sync, options_for

pytest.importorskip("dnslib", reason="needs the name server of the dev extra: pip install dnslib")

from tests.deploy.running import Running, cluster

# Quick ends, and few head services: the way of the others is the same.
_QUICK = 'drain={"preStop": 0, "pause": 0.2, "finish": 5}'
_HEADS = [f'{{"name": "{task}", "task": "{task}", "colocated": true}}' for task in ("classification", "segmentation")]
_ONE_HEAD, _TWO_HEADS = f"headServices=[{_HEADS[0]}]", f"headServices=[{','.join(_HEADS)}]"
_CALLS = 120
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def passes(pod: Running, port: int) -> float:
    """Pictures that a backbone was asked for, as Prometheus would learn it."""
    with urllib.request.urlopen(f"http://{pod.address}:{port}/metrics", timeout=5) as page:
        text = page.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "grpc_server_call_started_total"
        and sample.labels["grpc_method"].endswith("BackboneService/ExtractFeatures")
    )


def probes(running: list[Running]) -> Counter[tuple[str, bool]]:
    kinds = ("startupProbe", "livenessProbe", "readinessProbe")
    return Counter(
        (kind, pod.probe(container, kind)) for pod in running for container in pod.containers for kind in kinds
    )


def test_the_split_form_answers_and_three_backbones_share_the_calls(tmp_path, photos):
    with cluster(render("values.yaml", _QUICK, _ONE_HEAD), tmp_path, {"trunkline-backbone": 3}) as running:
        assert len(running) == 6  # gateway, three backbones, a head service, catalog
        assert probes(running) == {(kind, True): 6 for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        backbones = [pod for pod in running if pod.name == "trunkline-backbone"]
        with Client(f"{running[0].address}:8500") as client:
            while not all(passes(pod, 9464) for pod in backbones):  # until the gateway has a connection to each
                client.classify(photos[0])
            before = [passes(pod, 9464) for pod in backbones]
            for number in range(_CALLS):
                assert client.classify(photos[number % len(photos)]).result.labels
        shares = [passes(pod, 9464) - seen for pod, seen in zip(backbones, before, strict=True)]
    assert sum(shares) == _CALLS
    assert max(shares) / min(shares) <= 1.2, shares


def test_the_colocated_form_answers_with_features_that_stay_in_memory(tmp_path, photos):
    with cluster(render("values-colocated.yaml", _QUICK, _TWO_HEADS), tmp_path, {}) as running:
        assert [(pod.name, len(pod.containers)) for pod in running] == [
            ("trunkline-gateway", 4),
            ("trunkline-catalog", 1),
        ]
        with Client(f"{running[0].address}:8500") as client:
            for photo in photos:
                done = client.analyze(photo, ["imagenet", "camvid"])
                assert [outcome.error for outcome in done.outcomes] == [None, None]
        assert passes(running[0], 9465) == 2 * len(photos)  # the two heads want different sizes
        (arena,) = (tmp_path / "0/memory/features").iterdir()
        assert arena.stat().st_blocks > 0  # blocks of it were written to


def test_with_certificates_and_keys_it_answers_those_who_have_one(tmp_path, photos):
    security = {
        "insecure": False,
        "tls": {"certManager": {"enabled": True, "issuerRef": {"name": "own"}}},
        "auth": ["keys"],
        "accessSecret": {"name": "access"},
    }
    manifests = render("values.yaml", _QUICK, _ONE_HEAD, f"security={json.dumps(security)}")
    asked = named(manifests, "Certificate", "trunkline-tls")["spec"]
    folder = tmp_path / "secrets"
    (folder / "tls").mkdir(parents=True)
    (folder / "access").mkdir()
    authority = Authority(folder / "tls")
    cert, key = authority.issue("tls", *asked["dnsNames"], *asked["ipAddresses"], *asked["uris"])
    for source, name in ((cert, "tls.crt"), (key, "tls.key"), (authority.ca, "ca.crt")):
        source.rename(folder / "tls" / name)
    peer = {"roles": ["peer"], "certificates": asked["uris"]}
    write_access(folder / "access/access.json", {"shop": {"roles": ["infer"]}, "gateway": peer})
    with cluster(manifests, tmp_path, {}) as running:
        assert probes(running) == {(kind, True): 4 for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        target = f"{running[0].address}:8500"
        options = [*options_for(target), ("grpc.ssl_target_name_override", "trunkline")]
        request = pb.ClassifyRequest(image=image_pb2.Image(data=photos[0].read_bytes()), head="imagenet")
        for name, refused in (("shop", False), ("stranger", True)):
            credentials = Credentials(ca=folder / "tls/ca.crt", token=key_of(name))
            with open_sync(target, credentials, options) as channel:
                ask = VisionServiceStub(channel).Classify
                if refused:
                    with pytest.raises(grpc.RpcError) as caught:
                        ask(request, timeout=30)
                    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                else:
                    assert ask(request, timeout=30).outcome.classification.labels


def test_all_in_one_answers(tmp_path, photos):
    with cluster(render("values-minimal.yaml", _QUICK), tmp_path, {}) as running:
        assert len(running) == 1
        assert probes(running) == {(kind, True): 1 for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        with Client(f"{running[0].address}:8500") as client:
            assert client.classify(photos[0]).result.labels


def test_the_small_form_answers_and_its_commands_see_that_it_is_ready(tmp_path, photos):
    with cluster(render("values-small.yaml", _QUICK, _ONE_HEAD, 'probes.type="exec"'), tmp_path, {}) as running:
        assert len(running) == 4  # gateway, backbone, a head service, catalog
        assert probes(running) == {(kind, True): 4 for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        with Client(f"{running[0].address}:8500") as client:
            assert client.classify(photos[0]).result.labels
            running[1].processes[0].terminate()
            running[1].processes[0].wait(60)
        (container,) = running[1].containers
        assert not running[1].probe(container, "livenessProbe")

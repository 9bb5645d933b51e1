"""The chart as Helm renders it, and what a cluster would make of it."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/chart"
RELEASE, NAMESPACE = "trunkline", "vision"
VALUES = sorted(path.name for path in CHART.glob("values*.yaml"))
_PATHS = f"{Path(sys.prefix) / 'bin'}:{Path.home() / '.local/bin'}"

Manifest = dict[str, Any]


def tool(name: str, hint: str) -> str:
    """A program, or a skip that says how to get it."""
    found = shutil.which(name) or shutil.which(name, path=_PATHS)
    if found is None:
        pytest.skip(f"needs {name}: {hint}")
    return found


def helm() -> str:
    return tool("helm", "3.14 or later, https://helm.sh/docs/intro/install")


def run_helm(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = {**os.environ, **environment}
    return subprocess.run([helm(), *arguments], cwd=CHART, env=variables, capture_output=True, text=True, check=False)


def render(values: str = "values.yaml", *sets: str, kube: str = "") -> list[Manifest]:
    """All manifests of a values file with `--set-json` arguments such as 'training.enabled=true'."""
    return [dict(each) for each in json.loads(_rendered(values, sets, kube))]


def render_on(kubeconfig: Path, values: str, *sets: str) -> list[Manifest]:
    """The same where Helm may ask a cluster what there is; the test pod, a hook, is left out."""
    asking = ["--dry-run=server", "--disable-openapi-validation", "--skip-tests"]
    return list(json.loads(_template(values, sets, *asking, KUBECONFIG=str(kubeconfig))))


@functools.lru_cache
def _rendered(values: str, sets: tuple[str, ...], kube: str) -> str:
    return _template(values, sets, *(["--kube-version", kube] if kube else []))


def _template(values: str, sets: tuple[str, ...], *options: str, **environment: str) -> str:
    further = [word for each in sets for word in ("--set-json", each)]
    done = run_helm(
        "template", RELEASE, ".", "--namespace", NAMESPACE, "-f", values, *further, *options, **environment
    )
    assert done.returncode == 0, done.stderr
    return json.dumps([each for each in yaml.safe_load_all(done.stdout) if each])


def refusal(values: str, *sets: str) -> str:
    """What Helm says where it renders nothing."""
    further = [word for each in sets for word in ("--set-json", each)]
    done = run_helm("template", RELEASE, ".", "-f", values, *further)
    assert done.returncode != 0, "it was rendered"
    return done.stderr


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


@dataclass(frozen=True)
class Pod:
    """A pod as a Deployment makes it, or one that stands for itself."""

    name: str
    labels: Mapping[str, str]
    spec: Manifest
    annotations: Mapping[str, str]


def pods(manifests: list[Manifest]) -> list[Pod]:
    return [*_pods(manifests)]


def _pods(manifests: list[Manifest]) -> Iterator[Pod]:
    for each in of_kind(manifests, "Deployment"):
        template = each["spec"]["template"]
        metadata = template["metadata"]
        yield Pod(each["metadata"]["name"], metadata["labels"], template["spec"], metadata["annotations"])
    for each in of_kind(manifests, "Pod"):
        metadata = each["metadata"]
        yield Pod(metadata["name"], metadata["labels"], each["spec"], metadata.get("annotations", {}))


def environment(manifests: list[Manifest], container: Manifest) -> dict[str, str]:
    """The variables of a container; those of Secrets and of the pod as what they may be."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {each["name"]: _value(each, container) for each in container.get("env", [])}


def _value(variable: Manifest, container: Manifest) -> str:
    if "value" in variable:
        return str(variable["value"])
    source = variable["valueFrom"]
    if "resourceFieldRef" in source:
        kind, _, name = source["resourceFieldRef"]["resource"].partition(".")
        return str(-(-cores(container["resources"][kind][name]) // 1)).partition(".")[0]
    if "secretKeyRef" in source:
        return "postgresql://user:password@database/trunkline"
    assert source == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    return NAMESPACE


def cores(quantity: Any) -> float:
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def mebibytes(quantity: str) -> float:
    for unit, factor in {"Mi": 1.0, "Gi": 1024.0}.items():
        if quantity.endswith(unit):
            return float(quantity[: -len(unit)]) * factor
    raise AssertionError(f"{quantity}: write Mi or Gi")


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A label selector of the API, or the plain one of a Service."""
    if "matchExpressions" in selector:
        raise AssertionError("expressions are not known here")
    wanted = selector.get("matchLabels", selector if selector else {})
    return all(labels.get(name) == value for name, value in wanted.items())

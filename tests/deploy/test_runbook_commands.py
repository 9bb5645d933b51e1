"""Commands of the runbooks, tried as far as they can be without a cluster: options, names, and what they run."""

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.chart import CHART, ROOT, environment, of_kind, pods, render, run_helm, tool
from tests.deploy.pod_security import faults
from tests.deploy.test_runbooks import PAGES

# Of the cluster itself, or with a namespace of their own.
_WITHOUT_NAMESPACE = ("drain", "uncordon", "version", "create namespace", "label namespace", "apply --kustomize")
_END = re.compile(r" (?:[|&><#]|-- )")  # of the command itself
_NESTED = (
    "rollout status",
    "rollout restart",
    "create namespace",
    "create secret generic",
    "apply edit-last-applied",
)
_TOOLS = {"kubectl": "https://kubernetes.io/docs/tasks/tools", "helm": "3.14 or later"}


def commands(name: str) -> Iterator[list[str]]:
    """Every `kubectl …` or `helm …` that has arguments, as words, from blocks and text; not what it runs in a pod."""
    others = (ROOT / "docs/operate/kubernetes.md", CHART / "README.md")
    for page in (*PAGES.values(), *(other.read_text() for other in others)):
        joined = page.replace("\\\n", " ")
        blocks = re.findall(rf"^ *{name} (.+)$", joined, re.MULTILINE)
        inline = [re.sub(r"\s+", " ", each) for each in re.findall(rf"`{name} ([^`]+)`", joined)]
        for line in [each for each in blocks if "`" not in each] + inline:
            words = shlex.split(_END.split(f"{line} ", maxsplit=1)[0])
            if len(words) > 1:
                yield words


def helped(program: str, words: list[str]) -> str:
    """What the program says of this command and of options that all have."""
    without = [each for index, each in enumerate(words) if "--namespace" not in words[max(0, index - 1) : index + 1]]
    nested = [each for each in _NESTED if f" {each} " in f" {' '.join(without)} "]
    own = nested[0].split() if nested else without[:1]
    found = tool(program, _TOOLS[program])
    done = subprocess.run([found, *own, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    everywhere = [found, "options"] if program == "kubectl" else [found, "--help"]
    return done.stdout + subprocess.run(everywhere, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("program", "words"),
    [(program, words) for program in _TOOLS for words in commands(program)],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:80],
)
def test_verbs_and_options_exist_and_the_namespace_is_named(program, words):
    text = helped(program, words)
    for option in (each.partition("=")[0] for each in words if re.match("--[a-z]", each)):
        assert re.search(rf"{option}\b", text), option
    line = " ".join(words)
    if not (program == "kubectl" and line.startswith(_WITHOUT_NAMESPACE)):
        assert "--namespace" in words, line


def test_there_are_commands():
    assert len([*commands("kubectl")]) > 20
    assert len([*commands("helm")]) > 6


def test_what_helm_is_told_to_render_it_renders():
    rendered = 0
    for words in commands("helm"):
        if words[0] != "template" or "--dry-run=server" in words:  # that one: test_replicas.py
            continue
        with_file = ["values-small.yaml" if each == "VALUES.yaml" else each for each in words]
        done = run_helm(*(str(ROOT / each) if each.startswith("deploy/") else each for each in with_file))
        assert done.returncode == 0, done.stderr
        assert len(list(yaml.safe_load_all(done.stdout))) > 10
        rendered += 1
    assert rendered == 1


def test_components_deployments_and_ports_that_are_named_are_those_of_the_chart():
    manifests = render("values-training.yaml")
    deployments = {each["metadata"]["name"] for each in of_kind(manifests, "Deployment")}
    components = {each.labels["app.kubernetes.io/component"] for each in pods(manifests) if each.name in deployments}
    metrics = {
        environment(manifests, container)["TRUNKLINE_METRICS_ADDRESS"].rpartition(":")[2]
        for each in pods(manifests)
        if each.name in deployments
        for container in each.spec["containers"]
    }
    words = [each for words in commands("kubectl") for each in words]
    named = {each.partition("/")[2] for each in words if each.startswith("deployment/")} - {"…"}
    assert len(named) > 3
    assert named <= deployments
    selected = [each.partition("=")[2] for each in words if each.startswith("app.kubernetes.io/component=")]
    assert selected
    assert set(selected) <= components
    forwarded = [each.partition(":")[2] for each in words if re.fullmatch(r"946\d:\d+", each)]
    assert forwarded
    assert set(forwarded) <= metrics


def test_metrics_that_are_looked_for_are_there():
    listed = (ROOT / "docs/reference/metrics.md").read_text()
    patterns = re.findall(r"grep(?: --extended-regexp)? '([^']+)'", PAGES["alerts.md"])
    assert len(patterns) == 2
    names = re.findall(r"^\| `(\w+)` \|(.*)$", listed, re.MULTILINE)
    by_head = [name for name, row in names if "`head`" in row]
    assert by_head
    assert 'head="' in patterns[0]
    assert any(re.search(patterns[1], name) for name, _ in names)


# After the imports, as the interpreter of the tests may lie where nobody else may read.
_AS_ANOTHER = "import os, pathlib, shutil; os.setgroups([]); os.setgid(65532); os.setuid(65532)"


def models_pod() -> dict[str, Any]:
    (block,) = re.findall(r"<<'END'\n(.*?)\n *END", PAGES["install.md"], re.DOTALL)
    return dict(yaml.safe_load(textwrap.dedent(block)))


def test_the_pod_that_copies_models_is_valid_and_restricted():
    pod = models_pod()
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    assert faults(pod["spec"]) == []
    (image,) = {each.spec["containers"][0]["image"] for each in pods(render()) if each.name == "trunkline-gateway"}
    assert pod["spec"]["containers"][0]["image"] == image
    claim = pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    used = [each for each in pods(render("values-training.yaml")) if claim in str(each.spec.get("volumes"))]
    assert used


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user")
def test_models_are_copied_to_a_volume_of_another_user(models, tmp_path):
    """As a kubelet makes it: the volume is root's, and its group, which the pod has, may write."""
    source, target = tmp_path / "models", tmp_path / "target"
    subprocess.run(["cp", "--recursive", "--dereference", f"{models}/.", source], check=True)
    target.mkdir()
    os.chown(target, 0, 65532)
    target.chmod(0o2775)
    for folder in (*tmp_path.parents, tmp_path, source):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    code = models_pod()["spec"]["containers"][0]["command"][2]
    code = code.replace('"/models"', repr(str(source))).replace('"/target"', repr(str(target)))
    for _ in range(2):  # once more, as after an interruption
        done = subprocess.run(
            [sys.executable, "-c", f"{_AS_ANOTHER}\n{code}"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    for path in source.rglob("*"):
        copied = target / path.relative_to(source)
        assert copied.is_dir() if path.is_dir() else copied.read_bytes() == path.read_bytes()
        assert copied.stat().st_uid == 65532


def test_a_picture_may_come_from_standard_input(target, samples):
    command = [sys.executable, "-m", "trunkline.cli.main", "classify", "/dev/stdin", "--target", target]
    with (samples / "coffee.jpg").open("rb") as picture:
        done = subprocess.run(command, stdin=picture, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "espresso" in done.stdout

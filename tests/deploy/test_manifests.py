"""The manifests for those without Helm are what the chart gives, and kustomize takes them."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart import ROOT, helm, tool

FOLDER = ROOT / "deploy/manifests"
FORMS = sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml"))


def test_they_are_fresh(tmp_path):
    path = f"{Path(helm()).parent}:{os.environ['PATH']}"
    subprocess.run(
        [FOLDER / "render.sh", tmp_path], env={**os.environ, "PATH": path}, check=True, capture_output=True
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == FORMS
    for form in FORMS:
        made = (tmp_path / form / "trunkline.yaml").read_text()
        assert (FOLDER / form / "trunkline.yaml").read_text() == made, "run `make manifests`"


@pytest.mark.parametrize("form", FORMS)
def test_an_overlay_gives_them_another_namespace_and_image(form, tmp_path):
    kubectl = tool("kubectl", "https://kubernetes.io/docs/tasks/tools")
    overlay = {
        "resources": [os.path.relpath(FOLDER / form, tmp_path)],
        "namespace": "elsewhere",
        "images": [{"name": "trunkline", "newName": "registry.example/trunkline", "newTag": "9"}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    done = subprocess.run([kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = list(yaml.safe_load_all(done.stdout))
    assert len(found) == len(
        [each for each in yaml.safe_load_all((FOLDER / form / "trunkline.yaml").read_text()) if each]
    )
    assert {each["metadata"]["namespace"] for each in found} == {"elsewhere"}
    images = {
        container["image"]
        for each in found
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"registry.example/trunkline:9"}

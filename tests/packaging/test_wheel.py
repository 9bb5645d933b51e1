"""The wheel, installed as a user would: small, without torch, able to serve."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_MB = 500


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True)
    return next(folder.glob("trunkline-*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with trunkline[cpu] and nothing else."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"{wheel}[cpu]"], check=True)
    return folder


def test_the_wheel_holds_the_package_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"trunkline/heads/classification/head.py", "trunkline/gateway/rest/openapi.json"} <= set(names)
    assert not [name for name in names if "/test_" in name or not name.startswith("trunkline")]


def test_the_serving_environment_has_no_torch_and_stays_small(environment):
    listed = subprocess.run(
        [environment / "bin/python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
    )
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert "onnxruntime" in names
    assert not names & {"torch", "torchvision", "timm", "onnx", "ultralytics"}
    size_mb = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file()) / 1e6
    assert size_mb < LIMIT_MB


def test_the_installed_wheel_answers_about_the_samples(environment, tmp_path):
    picture = tmp_path / "demo.png"
    done = subprocess.run(
        [environment / "bin/trunkline", "demo", "--draw", picture],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "espresso" in done.stdout
    assert picture.stat().st_size > 10_000

"""Every Python sample runs against a real service and is shown on a page."""

import re
import subprocess
import sys

import pytest

from tests.docs.shell import PAGES, ROOT

FOLDER = ROOT / "examples/python"
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
# What each prints. triton has a process of its own: protobuf knows each message once.
SHOWN = {
    "classify": "espresso",
    "classify_async": "coffee: espresso",
    "compare": "same=False",
    "detect": "person",
    "errors": "WRONG_TASK",
    "explain": "tabby",
    "gallery": "['coffee'",
    "plain_grpc": "espresso",
    "regress": "deg",
    "segment": "%",
    "several_heads": "espresso",
    "stream": "chelsea",
    "triton": "espresso",
}
_NEEDS_TRAINING = {
    "training_job"
}  # tests/service/test_training_jobs.py trains; here it is parsed and its names are there


def test_every_sample_has_a_test_and_a_page():
    found = {path.stem for path in FOLDER.glob("*.py")}
    assert found == {*SHOWN, *_NEEDS_TRAINING}
    assert set(re.findall(r'"examples/python/(\w+)\.py"', TEXT)) == found


def test_pages_have_no_python_but_samples():
    code = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    written = [each for each in code if not each.startswith("--8<--")]
    assert written == [(FOLDER / "classify.py").read_text()]  # of the README, which is read without a build


@pytest.mark.parametrize("name", SHOWN)
def test_samples_run(name, documented, monkeypatch, capsys):
    code = (FOLDER / f"{name}.py").read_text().replace("127.0.0.1:8500", documented.target)
    monkeypatch.chdir(documented.folder)
    if name == "triton":
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert SHOWN[name] in done.stdout
        return
    exec(compile(code, name, "exec"), {"__name__": "__main__"})
    assert SHOWN[name] in capsys.readouterr().out


@pytest.mark.parametrize("name", _NEEDS_TRAINING)
def test_samples_that_train_reach_the_service(name, documented):
    from trunkline.client import ServiceError

    code = (FOLDER / f"{name}.py").read_text().replace("127.0.0.1:8500", documented.target)
    with pytest.raises(ServiceError, match="trains nothing"):
        exec(compile(code, name, "exec"), {"__name__": "__main__"})

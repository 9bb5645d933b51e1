"""What import-linter cannot say: serving works where torch is absent, and heads know nothing of each other."""

import subprocess
import sys

import grimp
import pytest

from trunkline.core.tasks import task_names

ENTRY_POINTS = [
    "trunkline.cli.main",
    "trunkline.assembly.run",
    "trunkline.assembly.split",
    "trunkline.client",
    "trunkline.catalog.servicer",
    "trunkline.testing",
    *(f"trunkline.heads.{task}.head" for task in task_names()),
]


@pytest.mark.parametrize("module", ENTRY_POINTS)
def test_serving_imports_where_torch_is_absent(module):
    code = "import sys; sys.modules.update(torch=None, torchvision=None, timm=None, onnx=None, sqlalchemy=None)"
    code += f"; import {module}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("module", ["servicer", "scheduler", "local", "store", "evaluation", "pod_template"])
def test_the_training_service_imports_where_torch_is_absent(module):
    code = f"import sys; sys.modules.update(torch=None, lightning=None); import trunkline.jobs.{module}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_client_imports_without_onnx_runtime():
    code = "import sys; sys.modules['onnxruntime'] = None; import trunkline.client, trunkline.cli.main"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_catalog_imports_without_onnx_runtime():
    code = "import sys; sys.modules['onnxruntime'] = None; import trunkline.catalog.servicer"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("module", ["trunkline.cli.main", "trunkline.assembly.run", "trunkline.assembly.split"])
def test_serving_imports_where_the_packages_of_the_http_port_are_absent(module):
    code = f"import sys; sys.modules.update(starlette=None, uvicorn=None); import {module}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_client_can_be_loaded_beside_tritonclient():
    code = "import trunkline.client, trunkline.cli.main, tritonclient.grpc"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_onnx_runtime_telemetry_is_off_before_it_is_imported():
    code = "import trunkline.serving.session, os; assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("trunkline")


@pytest.mark.parametrize("task", task_names())
def test_a_head_folder_imports_no_other_head_folder(graph, task):
    own = f"trunkline.heads.{task}"
    others = {f"trunkline.heads.{other}" for other in task_names() if other != task}
    modules = {own, *graph.find_descendants(own)}
    imported = {name for module in modules for name in graph.find_modules_directly_imported_by(module)}
    assert not {name for name in imported if any(name == other or name.startswith(other + ".") for other in others)}


@pytest.mark.parametrize("task", task_names())
def test_head_py_does_not_import_learn_py(graph, task):
    assert f"trunkline.heads.{task}.learn" not in graph.find_modules_directly_imported_by(
        f"trunkline.heads.{task}.head"
    )

"""Model repositories for tests: the real models, with one more head that is a changed copy of a real one."""

import json
import shutil
from pathlib import Path

import numpy as np

from trunkline.core.bundle import write_golden
from trunkline.core.repository import Repository


def repository_with_head(
    models: Path, folder: Path, name: str, *, backbone_digest: str | None = None, spoil_golden: bool = False
) -> Path:
    """A repository in `folder` with the shipped models and a head `name`, a copy of imagenet but for the changes."""
    repository = folder / "models"
    for kind in ("backbones", "heads"):
        (repository / kind).mkdir(parents=True)
        for model in (models / kind).iterdir():
            (repository / kind / model.name).symlink_to(model)
    source = Repository(models).head("imagenet").path
    path = repository / "heads" / name / "1"
    shutil.copytree(source, path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest |= {"name": name, "version": 1}
    if backbone_digest is not None:
        manifest["backbone"]["digest"] = backbone_digest
    (path / "manifest.json").write_text(json.dumps(manifest))
    if spoil_golden:
        inputs, outputs = Repository(models).head("imagenet").read_golden()
        write_golden(path, inputs, {key: value + np.float32(10) for key, value in outputs.items()})
    return repository

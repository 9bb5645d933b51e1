"""Staging folders: kept while their process lives, swept once it is gone, however it ended."""

import subprocess
import sys

from trunkline.core.staging import STAGING_PREFIX, sweep_staging

HOLD = "import sys, time; from pathlib import Path; from trunkline.core.staging import held\n"
HOLD += "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"


def test_a_folder_is_swept_when_the_process_that_held_it_was_killed_and_not_before(tmp_path):
    folder = tmp_path / f"{STAGING_PREFIX}x"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        assert sweep_staging(tmp_path, min_age_s=0) == []
        process.kill()
    assert sweep_staging(tmp_path, min_age_s=0) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_only_just_made_is_left(tmp_path):
    folder = tmp_path / f"{STAGING_PREFIX}x"
    folder.mkdir()
    assert sweep_staging(tmp_path) == []
    assert sweep_staging(tmp_path, min_age_s=0) == [folder]


def test_nothing_else_is_touched(tmp_path):
    (tmp_path / "heads").mkdir()
    assert sweep_staging(tmp_path, min_age_s=0) == []
    assert sweep_staging(tmp_path / "none", min_age_s=0) == []
    assert (tmp_path / "heads").is_dir()

"""The catalog file, the gate, promotion and rollback, on a model folder."""

import json
import math
import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.bundles import backbone_manifest, head_manifest, write_bundle
from trunkline.catalog.catalog import Catalog
from trunkline.catalog.several import promote_all
from trunkline.core.bundle import BackboneManifest, HeadManifest
from trunkline.core.catalog import change_catalog, current_catalog, note_published, pin_default, read_catalog
from trunkline.core.errors import (
    GateFailedError,
    InvalidRequestError,
    ModelInvalidError,
    NotFoundError,
    StorageError,
    WrongTaskError,
)
from trunkline.core.evaluation import Evaluation, evaluation_digest
from trunkline.core.models import Canary, HeadCatalog
from trunkline.core.publishing import move_into_place
from trunkline.core.tasks import deciding_metric

SAMPLES = {"data": "flowers", "split": "test", "count": 10, "digest": "a" * 64}


def put(models: Path, version: int, name: str = "dots", **changes: object) -> Path:
    return write_bundle(models / "heads" / name / str(version), head_manifest(name, version) | changes)


def measured(models: Path, version: int, evaluation: dict | None = SAMPLES, **metrics: float) -> None:
    put(models, version, metrics=metrics, evaluation=evaluation)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    put(tmp_path, 1)
    return tmp_path


def test_without_a_file_the_highest_version_is_the_default(models):
    put(models, 10)
    assert read_catalog(models, "dots") is None
    assert current_catalog(models, "dots") == HeadCatalog(default=10)


def test_the_first_published_version_becomes_the_default(tmp_path):
    pin_default(tmp_path, "dots")
    put(tmp_path, 1)
    note_published(tmp_path, "dots", 1)
    assert read_catalog(tmp_path, "dots") == HeadCatalog(default=1)


def test_a_later_one_does_not_and_there_is_no_moment_in_which_it_is(models):
    pin_default(models, "dots")
    put(models, 2)
    assert current_catalog(models, "dots").default == 1
    note_published(models, "dots", 2)
    assert read_catalog(models, "dots") == HeadCatalog(default=1)


def test_of_two_first_versions_the_one_that_was_there_is_the_default(tmp_path):
    pin_default(tmp_path, "dots")
    put(tmp_path, 1)
    put(tmp_path, 2)
    note_published(tmp_path, "dots", 2)
    note_published(tmp_path, "dots", 1)
    assert current_catalog(tmp_path, "dots").default == 1


def test_publishing_pins_the_default(tmp_path):
    for version in (1, 2):
        folder = write_bundle(tmp_path / f"aside-{version}", head_manifest("dots", version))
        move_into_place(tmp_path, [(folder, HeadManifest.model_validate(head_manifest("dots", version)))])
    assert read_catalog(tmp_path, "dots") == HeadCatalog(default=1)


def test_a_state_survives_the_file(models):
    state = HeadCatalog(default=3, history=(1, 2), aliases={"stable": 2}, canary=Canary(version=4, share=0.1))
    written = change_catalog(models, "dots", lambda _: state)
    assert read_catalog(models, "dots") == written == state.model_copy(update={"revision": 1})
    file = models / "heads/dots/catalog.json"
    assert json.loads(file.read_text())["canary"] == {"version": 4, "share": 0.1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert sorted(path.name for path in file.parent.iterdir()) == [".catalog.lock", "1", "catalog.json"]


def test_a_change_that_changes_nothing_writes_nothing(models):
    change_catalog(models, "dots", lambda state: state)
    assert not (models / "heads/dots/catalog.json").exists()


def test_a_change_that_fails_leaves_the_state(models):
    change_catalog(models, "dots", lambda state: state.promoted(2))
    with pytest.raises(ZeroDivisionError):
        change_catalog(models, "dots", lambda _: 1 / 0)
    assert read_catalog(models, "dots") == HeadCatalog(revision=1, default=2, history=(1,))


def test_writers_in_threads_and_processes_lose_no_change(models):
    change = "from pathlib import Path; from trunkline.core.catalog import change_catalog\n"
    change += "for number in range({0}, {0} + 20): change_catalog(Path({1!r}), 'dots', lambda state: "
    change += "state.model_copy(update={{'aliases': {{**state.aliases, f'a{{number}}': 1}}}}))"

    def run(start: int) -> None:
        subprocess.run([sys.executable, "-c", change.format(start, str(models))], check=True, timeout=120)

    def alias(number: int) -> None:
        change_catalog(
            models, "dots", lambda state: state.model_copy(update={"aliases": {**state.aliases, f"a{number}": 1}})
        )

    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(run, 0), pool.submit(run, 100), *(pool.submit(alias, n) for n in range(200, 220))]
        for each in done:
            each.result()
    state = read_catalog(models, "dots")
    assert state.revision == len(state.aliases) == 60


def test_a_reader_never_sees_half_a_file(models):
    change_catalog(models, "dots", lambda state: state.promoted(2))
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(
            lambda: [change_catalog(models, "dots", lambda state, v=v: state.promoted(v % 5 + 1)) for v in range(100)]
        )
        while not writing.done():
            assert read_catalog(models, "dots") is not None
        writing.result()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the file"),
        ('{"default": 1', "the file"),
        ('{"default": 0}', "default"),
        ('{"history": [1]}', "default"),
        ('{"default": 1, "canary": {"version": 2, "share": 1.5}}', "canary.share"),
        ('{"default": 1, "aliases": {"A/B": 1}}', "aliases"),
        ('{"default": 1, "typo": 1}', "typo"),
    ],
)
def test_a_damaged_file_is_named_with_its_fault_and_what_to_do(models, text, fault):
    (models / "heads/dots/catalog.json").write_text(text)
    with pytest.raises(ModelInvalidError, match=rf"catalog\.json: {fault}.*mend it, or remove it") as caught:
        read_catalog(models, "dots")
    assert "\n" not in caught.value.message
    with pytest.raises(ModelInvalidError):
        change_catalog(models, "dots", lambda state: state.promoted(2))


def test_an_unknown_head_is_named_with_those_that_are_known(models):
    for call in (current_catalog, lambda *at: change_catalog(*at, lambda state: state)):
        with pytest.raises(NotFoundError, match=r"there is no head 'dogs' in .*; known: dots"):
            call(models, "dogs")
    with pytest.raises(NotFoundError):
        change_catalog(models, "../heads/dots", lambda state: state)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_folder_that_cannot_be_written_is_named(models):
    (models / "heads/dots").chmod(0o555)
    with pytest.raises(StorageError, match=r"cannot be written: Permission denied"):
        change_catalog(models, "dots", lambda state: state.promoted(2))


def test_a_lock_that_cannot_be_made_is_named(models):
    (models / "heads/dots/.catalog.lock").mkdir()
    with pytest.raises(StorageError, match=r"\.catalog\.lock cannot be written"):
        change_catalog(models, "dots", lambda state: state.promoted(2))


def test_history_is_bounded():
    state = HeadCatalog(default=1)
    for version in range(2, 200):
        state = state.promoted(version)
    assert state.default == 199
    assert state.history == tuple(range(149, 199))


# Promotion --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "default", "candidate", "margin", "passes"),
    [
        ("accuracy", 0.90, 0.89, None, True),
        ("accuracy", 0.90, 0.8899, None, False),
        ("accuracy", 0.90, 0.95, 0.0, True),
        ("accuracy", 0.90, 0.90, 0.0, True),
        ("accuracy", 0.90, 0.85, 0.05, True),
        ("mean_iou", 0.5, 0.48, None, False),
        ("ap50", 0.5, 0.495, None, True),
        ("auc", 0.5, 0.4, None, False),
        ("rmse", 4.0, 4.04, None, True),
        ("rmse", 4.0, 4.05, None, False),
        ("rmse", 4.0, 3.0, 0.0, True),
        ("mae", 200.0, 201.9, None, True),
        ("mae", 200.0, 203.0, None, False),
    ],
)
def test_the_gate_lets_in_what_is_no_worse_than_the_margin(tmp_path, metric, default, candidate, margin, passes):
    measured(tmp_path, 1, **{metric: default, "top5_accuracy": 0.1})
    note_published(tmp_path, "dots", 1)
    measured(tmp_path, 2, **{metric: candidate, "top5_accuracy": 0.1})
    catalog = Catalog(tmp_path)
    if passes:
        model = catalog.promote("dots", 2, margin=margin)
        assert (model.catalog.default, model.catalog.history) == (2, (1,))
        return
    with pytest.raises(GateFailedError, match=f"dots/2 has {metric} .*version 1.*force") as caught:
        catalog.promote("dots", 2, margin=margin)
    shown = caught.value.metadata
    assert (shown["metric"], float(shown["candidate"]), float(shown["incumbent"])) == (metric, candidate, default)
    assert float(shown["margin"]) == (0.01 if margin is None else margin)
    assert catalog.model("dots").catalog.default == 1
    assert catalog.promote("dots", 2, margin=margin, force=True).catalog.default == 2


@pytest.mark.parametrize(("task", "metric"), [("classification", "accuracy"), ("regression", "rmse")])
def test_the_metric_of_the_task_decides_before_others(task, metric):
    both = {"rmse": 1.0, "accuracy": 0.9}
    assert deciding_metric(task, both, both).name == metric


@pytest.mark.parametrize("task", ["classification", "a task that is not here"])
def test_only_what_both_have_decides(task):
    assert deciding_metric(task, {"rmse": 1.0, "accuracy": 0.9}, {"rmse": 2.0}).name == "rmse"
    assert deciding_metric(task, {"rmse": 1.0}, {"accuracy": 0.9}) is None


def test_a_number_that_is_none_never_passes():
    metric = deciding_metric("classification", {"accuracy": 0.0}, {"accuracy": 0.0})
    assert not metric.no_worse(math.nan, 0.5, 1.0)
    assert not metric.no_worse(0.5, math.nan, 1.0)


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        (
            (None, {"accuracy": 0.9}),
            (SAMPLES, {"accuracy": 0.9}),
            "not known on which samples dots/1 was measured",
        ),
        (
            (SAMPLES, {"accuracy": 0.9}),
            (None, {"accuracy": 0.9}),
            "not known on which samples dots/2 was measured",
        ),
        (
            (SAMPLES, {"accuracy": 0.9}),
            (SAMPLES | {"digest": "b" * 64, "split": ""}, {"accuracy": 0.9}),
            r"dots/2 was measured on 10 samples of flowers \(no split\), .* 10 others of flowers \(test\)",
        ),
        ((SAMPLES, {"accuracy": 0.9}), (SAMPLES, {"rmse": 1.0}), "no metric in common"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_to_do(tmp_path, first, second, fault):
    measured(tmp_path, 1, first[0], **first[1])
    pin_default(tmp_path, "dots")
    measured(tmp_path, 2, second[0], **second[1])
    with pytest.raises(GateFailedError, match=f"{fault}.*: evaluate both on the same data, or promote with force"):
        Catalog(tmp_path).promote("dots", 2)
    assert Catalog(tmp_path).promote("dots", 2, force=True).catalog.default == 2


def test_a_head_moves_to_another_backbone_once_that_is_there(tmp_path):
    measured(tmp_path, 1, accuracy=0.9)
    pin_default(tmp_path, "dots")
    bundle = backbone_manifest("tiny", 7) | {"digest": "b" * 64}
    other = {"name": "tiny", "version": 7, "digest": bundle["digest"]}
    put(tmp_path, 2, backbone=other, metrics={"accuracy": 0.91}, evaluation=SAMPLES)
    with pytest.raises(GateFailedError, match="tiny/7, which is not in the model folder"):
        Catalog(tmp_path).promote("dots", 2)
    write_bundle(tmp_path / "backbones/tiny/7", bundle | {"digest": "0" * 64})
    with pytest.raises(GateFailedError, match="not in the model folder"):
        Catalog(tmp_path).promote("dots", 2)
    (tmp_path / "backbones/tiny/7/manifest.json").write_text(json.dumps(bundle))
    assert Catalog(tmp_path).promote("dots", 2).catalog.default == 2


def test_a_move_is_gated_by_the_same_samples(tmp_path):
    measured(tmp_path, 1, accuracy=0.9)
    pin_default(tmp_path, "dots")
    bundle = backbone_manifest("tiny", 7) | {"digest": "b" * 64}
    write_bundle(tmp_path / "backbones/tiny/7", bundle)
    other = {"name": "tiny", "version": 7, "digest": bundle["digest"]}
    put(tmp_path, 2, backbone=other, metrics={"accuracy": 0.8}, evaluation=SAMPLES)
    with pytest.raises(GateFailedError, match=r"0\.8, version 1 \(default\) has 0\.9"):
        Catalog(tmp_path).promote("dots", 2)


def test_another_task_is_refused_whatever_is_said(models):
    pin_default(models, "dots")
    put(models, 2, task="regression")
    catalog = Catalog(models)
    for call in (
        lambda: catalog.promote("dots", 2, force=True),
        lambda: catalog.set_canary("dots", 2, 0.5),
        lambda: catalog.set_alias("dots", "next", 2),
    ):
        with pytest.raises(WrongTaskError, match="a head keeps its task"):
            call()


def test_a_damaged_version_is_refused_whatever_is_said(models):
    pin_default(models, "dots")
    folder = put(models, 2)
    (folder / "model.onnx").write_bytes(b"cut")
    catalog = Catalog(models)
    for call in (
        lambda: catalog.promote("dots", 2, force=True),
        lambda: catalog.set_canary("dots", 2, 0.5),
        lambda: catalog.set_alias("dots", "next", 2),
    ):
        with pytest.raises(ModelInvalidError, match="digest"):
            call()
    assert read_catalog(models, "dots") == HeadCatalog(default=1)


def test_a_default_that_is_broken_is_replaced_by_force(models):
    pin_default(models, "dots")
    put(models, 2)
    (models / "heads/dots/1/manifest.json").write_text("{")
    with pytest.raises(GateFailedError, match="promote with force"):
        Catalog(models).promote("dots", 2)
    assert Catalog(models).promote("dots", 2, force=True).catalog.default == 2


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_a_margin_that_is_no_number_from_0_on_is_refused(models, margin):
    with pytest.raises(InvalidRequestError, match="margin"):
        Catalog(models).promote("dots", 1, margin=margin)


def test_promoting_the_default_or_an_unknown_version(models):
    catalog = Catalog(models)
    assert catalog.promote("dots", 1).catalog == HeadCatalog(default=1)
    with pytest.raises(NotFoundError, match=r"has no version 7; known: \[1\]"):
        catalog.promote("dots", 7)


def test_a_canary_that_is_promoted_is_one_no_longer(models):
    put(models, 2)
    change_catalog(models, "dots", lambda _: HeadCatalog(default=1, canary=Canary(version=2, share=0.1)))
    assert Catalog(models).promote("dots", 2, force=True).catalog.canary is None


# Rollback, canary, aliases ----------------------------------------------------------------------------------


def test_rollback_goes_back_one_default_at_a_time(models):
    catalog = Catalog(models)
    pin_default(models, "dots")
    for version in (2, 3):
        put(models, version)
        catalog.promote("dots", version, force=True)
    assert catalog.rollback("dots").catalog == HeadCatalog(revision=3, default=2, history=(1,))
    assert catalog.rollback("dots").catalog == HeadCatalog(revision=4, default=1)
    with pytest.raises(NotFoundError, match="head 'dots' has no earlier default to go back to"):
        catalog.rollback("dots")


def test_rollback_passes_over_versions_that_are_gone(models):
    put(models, 3)
    change_catalog(models, "dots", lambda _: HeadCatalog(default=3, history=(1, 2)))
    assert Catalog(models).rollback("dots").catalog == HeadCatalog(revision=2, default=1)


def test_canary_and_aliases_are_set_and_removed(models):
    pin_default(models, "dots")
    put(models, 2)
    catalog = Catalog(models)
    assert catalog.set_canary("dots", 2, 0.25).catalog.canary == Canary(version=2, share=0.25)
    assert catalog.set_canary("dots", 0, 0).catalog.canary is None
    assert catalog.set_alias("dots", "stable", 2).catalog.aliases == {"stable": 2}
    assert catalog.set_alias("dots", "stable", 1).catalog.aliases == {"stable": 1}
    assert catalog.delete_alias("dots", "stable").catalog.aliases == {}
    with pytest.raises(NotFoundError, match="no alias 'stable'; aliases: none"):
        catalog.delete_alias("dots", "stable")
    with pytest.raises(InvalidRequestError, match="is the default"):
        catalog.set_canary("dots", 1, 0.5)
    with pytest.raises(InvalidRequestError, match="is no alias"):
        catalog.set_alias("dots", "A/B", 1)
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(InvalidRequestError, match="share"):
            catalog.set_canary("dots", 2, share)


# Lists and values -------------------------------------------------------------------------------------------


def test_lists_show_what_is_broken_and_hide_nothing(models):
    put(models, 1, "bars")
    put(models, 2, "bars", metrics={"accuracy": 0.5}, evaluation=SAMPLES)
    (models / "heads/bars/1/manifest.json").write_text("{")
    (models / "heads/dots/catalog.json").write_text("{")
    catalog = Catalog(models)
    bars, dots = catalog.models()
    assert (bars.name, bars.versions, bars.task, bars.catalog.default) == ("bars", (1, 2), "classification", 2)
    assert dots.catalog is None
    assert re.search(r"catalog\.json", dots.fault)
    broken, good = catalog.versions("bars")
    assert "manifest.json" in broken.fault
    assert (good.metrics, good.evaluation, good.label_count, good.fault) == (
        {"accuracy": 0.5},
        Evaluation(**SAMPLES),
        2,
        "",
    )


def test_old_manifests_have_no_evaluation_and_backbones_never():
    assert HeadManifest.model_validate(head_manifest()).evaluation is None
    assert "evaluation" not in BackboneManifest.model_fields


def test_the_digest_of_samples_knows_names_and_bytes_but_no_order():
    samples = [("a/1.png", b"x"), ("b/2.png", b"y")]
    digest = evaluation_digest(samples)
    assert evaluation_digest(reversed(samples)) == digest
    others = [
        [("a/1.png", b"y"), ("b/2.png", b"x")],
        [("a/1.pn", b"gx"), ("b/2.png", b"y")],
        samples[:1],
        [*samples, ("c", b"")],
    ]
    assert len({digest, *map(evaluation_digest, others)}) == len(others) + 1


def test_several_heads_are_promoted_together(tmp_path):
    for name in ("dots", "dashes"):
        put(tmp_path, 1, name)
        pin_default(tmp_path, name)
        put(tmp_path, 2, name)
    found = promote_all(Catalog(tmp_path), [("dashes", 2), ("dots", 2)], force=True)
    assert [(model.name, model.catalog.default) for model in found] == [("dashes", 2), ("dots", 2)]


def test_one_that_the_gate_refuses_keeps_all_where_they_are(tmp_path):
    for name, accuracy in (("dashes", 0.95), ("dots", 0.5)):
        put(tmp_path, 1, name, metrics={"accuracy": 0.9}, evaluation=SAMPLES)
        pin_default(tmp_path, name)
        put(tmp_path, 2, name, metrics={"accuracy": accuracy}, evaluation=SAMPLES)
    with pytest.raises(GateFailedError, match="dots/2"):
        promote_all(Catalog(tmp_path), [("dashes", 2), ("dots", 2)])
    assert [current_catalog(tmp_path, name).default for name in ("dashes", "dots")] == [1, 1]
    assert [current_catalog(tmp_path, name).revision for name in ("dashes", "dots")] == [0, 0]


def test_what_was_switched_is_put_back_where_a_later_one_cannot_be_written(tmp_path):
    for name in ("dashes", "dots", "rings"):
        put(tmp_path, 1, name)
        pin_default(tmp_path, name)
        put(tmp_path, 2, name)

    def full(name: str, change) -> HeadCatalog:
        if name == "rings":
            raise StorageError("the disk is full")
        return change_catalog(tmp_path, name, change)

    with pytest.raises(StorageError, match="full"):
        promote_all(Catalog(tmp_path, full), [("dashes", 2), ("dots", 2), ("rings", 2)], force=True)
    for name in ("dashes", "dots", "rings"):
        assert current_catalog(tmp_path, name).default == 1
        assert not current_catalog(tmp_path, name).history


def test_a_head_named_twice_is_refused(models):
    put(models, 2)
    for versions in ([("dots", 1), ("dots", 2)], []):
        with pytest.raises(InvalidRequestError, match="each once"):
            promote_all(Catalog(models), versions, force=True)

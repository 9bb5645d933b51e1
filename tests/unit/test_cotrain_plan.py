"""Plans of a co-training: what they say, and what is said of a faulty one, with its line."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import yaml

from trunkline.core.errors import InvalidRequestError
from trunkline.training.cotrain.early import strictest
from trunkline.training.cotrain.plan import Plan, plan_text
from trunkline.training.cotrain.plan_file import read_plan

PLAN = """\
trunk: street
like: camvid
rounds: 100
keep:
  imagenet: {data: flowers, share: 8}
heads:
  pets:
    task: similarity
    mode: pretrained
    data: sets/pets
  roads:
    task: segmentation
    data: camvid
    train_splits: [train, val]
    epochs: 10
    weight: 2
"""


def plan_with(tmp_path, old="", new=""):
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN.replace(old, new, 1) if old else PLAN)
    return file


def test_a_plan_has_the_options_of_train_for_each_head(tmp_path):
    plan = read_plan(plan_with(tmp_path))
    roads, pets = plan.heads["roads"], plan.heads["pets"]
    assert (plan.trunk, plan.like, plan.rounds, plan.trained_after) == ("street", "camvid", 100, "c3")
    assert plan.keep["imagenet"].data == ("flowers",)
    assert (roads.weight, roads.request.name, roads.request.backbone) == (2, "roads", "street")
    assert (roads.request.train_splits, roads.request.options.epochs) == (("train", "val"), 10)
    assert (pets.request.task, pets.request.mode, pets.weight) == ("similarity", "pretrained", 1)


def test_a_teacher_is_of_the_head_and_of_detection_of_its_request(tmp_path):
    plan = read_plan(plan_with(tmp_path, "    weight: 2", "    teacher: camvid"))
    assert (plan.heads["roads"].teacher, plan.heads["roads"].request.teacher) == ("camvid", None)
    found = plan_with(
        tmp_path, "task: segmentation", "task: detection\n    teacher: coco\n    taught: {person: walker}"
    )
    head = read_plan(found).heads["roads"]
    assert (head.teacher, head.request.teacher, head.request.taught) == (None, "coco", {"person": "walker"})


def test_the_text_of_a_plan_is_the_plan_again(tmp_path):
    plan = read_plan(plan_with(tmp_path))
    again = Plan.model_validate(yaml.safe_load(plan_text(plan)))
    assert again.heads["pets"].request.data == "pets"  # no folder of this machine
    assert again.heads["roads"] == plan.heads["roads"]
    assert again.model_dump(exclude={"heads"}) == plan.model_dump(exclude={"heads"})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("weight: 2", "weigth: 2", "line 16: heads.roads.weigth: there is no such key; did you mean weight?"),
        ("weight: 2", "weight: 0", "line 16: heads.roads.weight: Input should be greater than 0"),
        ("weight: 2", "epochs: 3", "line 16: heads.roads.epochs: this key is on line 15 too"),
        ("weight: 2", "batch: 1", "line 16: heads.roads.batch: Input should be greater than or equal to 2"),
        ("weight: 2", "mode: scratch", "line 11: heads.roads: mode scratch shares no trunk: choose one of features"),
        ("weight: 2", "mode: pretrained", "line 11: heads.roads: mode pretrained is for similarity"),
        ("  roads", "  Roads", "line 11: heads.Roads"),
        ("mode: pretrained", "loss: dice", "line 7: heads.pets: loss 'dice' is none of task similarity"),
        ("like: camvid", "spec: {width: 481, height: 352}", "line 2: spec.width: Input should be a multiple of 32"),
        ("like: camvid\n", "", "give spec, such as {width: 480, height: 352, resize: pad}, or like"),
        ("like: camvid", "like: camvid\nspec: {width: 480}", "give spec"),
        ("trunk: street\n", "", "trunk: this key is missing"),
        ("rounds: 100", "round: 100", "line 3: round: there is no such key; did you mean rounds?"),
        ("imagenet: {", "pets: {", "pets is in keep and in heads"),
        ("{data: flowers, share: 8}", "{date: flowers}", "line 5: keep.imagenet.date: there is no such key"),
        ("rounds: 100", "rounds: [", "not YAML"),
        (PLAN, "- street\n", "a plan is a mapping"),
        (PLAN, "", "a plan is a mapping"),
        ("heads:\n", "heads: {}\nx:\n", "there is no such key"),
    ],
)
def test_a_fault_is_said_with_its_key_and_its_line(tmp_path, old, new, says):
    with pytest.raises(InvalidRequestError) as caught:
        read_plan(plan_with(tmp_path, old, new))
    assert says in caught.value.message
    assert "plan.yaml" in caught.value.message


def test_the_plan_that_is_shipped_can_be_read():
    plan = read_plan(Path(__file__).parents[2] / "examples/street.yaml")
    assert set(plan.heads) == {"pets", "camvid", "pennfudan"}
    assert set(plan.keep) == {"imagenet"}


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidRequestError, match=r"there is no plan .*nowhere\.yaml"):
        read_plan(tmp_path / "nowhere.yaml")


def test_heads_of_a_trunk_have_the_strictest_terms_of_all_its_data():
    assert strictest(["any", "any"]) == "any"
    assert strictest(["any", "non-commercial"]) == "non-commercial"
    assert strictest(["non-commercial", "research", "any"]) == "research"
    assert strictest(["any", None]) == "research"

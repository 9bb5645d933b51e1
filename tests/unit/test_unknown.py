"""Unknown pictures: what a classifier's file gets, how both signs count, what the head says of it."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trunkline.api.vision.v1 import results_pb2
from trunkline.core.errors import ModelInvalidError
from trunkline.core.preprocess import Frame
from trunkline.core.results import Classification, ScoredLabel
from trunkline.core.tasks import task_of
from trunkline.heads.classification.head import Head
from trunkline.heads.classification.nearest import Kept, last_vector, with_nearest
from trunkline.heads.classification.novelty import NEAREST, Novelty, Spread, read_novelty
from trunkline.heads.classification.remembering import MOST_KEPT, auroc, completed
from trunkline.serving.session import OnnxSession

FRAME = Frame(10, 10, 1.0, 0.0, 1.0, 0.0, 32, 32)
WIDTH, CLASSES = 24, 4
NOVELTY = Novelty(Spread(0.5, 0.1), Spread(0.9, 0.1), 1.0, -3.0)
TASK = task_of("classification")


def model(*, standardised: bool = True, last: str = "Gemm") -> bytes:
    """pooled (N, WIDTH) -> standardised -> linear -> logits (N, CLASSES)."""
    random = np.random.default_rng(1)
    stored = {
        "mean": random.normal(0, 1, WIDTH),
        "spread": random.uniform(0.5, 2, WIDTH),
        "weight": random.normal(0, 1, (WIDTH, CLASSES)),
        "bias": random.normal(0, 1, CLASSES),
    }
    vector = "standard" if standardised else "pooled"
    before = [helper.make_node("Sub", ["pooled", "mean"], ["centred"])]
    before += [helper.make_node("Div", ["centred", "spread"], ["standard"])]
    ends = {
        "Gemm": [helper.make_node("Gemm", [vector, "weight", "bias"], ["logits"])],
        "MatMul": [
            helper.make_node("MatMul", [vector, "weight"], ["sums"]),
            helper.make_node("Add", ["sums", "bias"], ["logits"]),
        ],
        "Relu": [
            helper.make_node("Gemm", [vector, "weight", "bias"], ["sums"]),
            helper.make_node("Relu", ["sums"], ["logits"]),
        ],
    }
    graph = helper.make_graph(
        [*before, *ends[last]] if standardised else ends[last],
        "head",
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in stored.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    data: bytes = made.SerializeToString()
    return data


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, WIDTH)).astype(np.float32)


# The file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["Gemm", "MatMul"])
@pytest.mark.parametrize("standardised", [True, False])
def test_vectors_are_those_before_the_last_layer_and_before_they_are_standardised(last, standardised):
    assert last_vector(model(standardised=standardised, last=last), "logits") == "pooled"


def test_a_file_that_ends_in_something_else_has_no_such_vector():
    assert last_vector(model(last="Relu"), "logits") is None


def test_the_output_is_the_cosine_to_the_nearest_and_logits_keep_every_bit():
    known, asked = vectors(50), vectors(7, seed=1)
    plain = OnnxSession(model(), "plain").run({"pooled": asked})
    session = OnnxSession(with_nearest(model(), "pooled", Kept.of(known, 128)), "more")
    found = session.run({"pooled": asked})
    assert found["logits"].tobytes() == plain["logits"].tobytes()
    cosines = (asked / np.linalg.norm(asked, axis=1)[:, None]) @ (known / np.linalg.norm(known, axis=1)[:, None]).T
    assert found[NEAREST] == pytest.approx(cosines.max(axis=1), abs=2e-3)  # kept as float16
    alone = np.concatenate([session.run({"pooled": asked[i : i + 1]})[NEAREST] for i in range(7)])
    assert found[NEAREST] == pytest.approx(alone, abs=1e-6)


def test_a_vector_of_zeros_is_near_nothing():
    session = OnnxSession(with_nearest(model(), "pooled", Kept.of(vectors(50), 128)), "more")
    assert session.run({"pooled": np.zeros((1, WIDTH), np.float32)})[NEAREST] == [0]


@pytest.mark.parametrize("count", [10, 200])
def test_few_directions_say_nearly_the_same(count):
    random = np.random.default_rng(3)
    wide = (random.normal(0, 1, (count, 5)) @ random.normal(0, 1, (5, 64))).astype(np.float32)
    kept = Kept.of(wide, 5)
    assert kept.basis.shape == (64, 5)
    assert kept.nearest(wide) == pytest.approx(np.ones(count), abs=5e-3)


# Both signs ------------------------------------------------------------------------------------------------


def test_what_is_improbable_or_far_is_less_known():
    best, near = np.array([0.99, 0.3, 0.99]), np.array([0.9, 0.9, -0.5])
    usual, improbable, far = NOVELTY.known(best, near)
    assert usual > 0.9
    assert improbable < 0.5
    assert far < 0.5


def test_a_distance_that_known_pictures_have_counts_nothing():
    at = 1 - 0.5 * np.array([0.45, 0.6]) ** 2  # cosines
    assert np.ptp(NOVELTY.known(np.array([0.9, 0.9]), at)) == 0


def test_without_probabilities_the_distance_alone_counts():
    plain = Novelty(Spread(0.5, 0.1), None, 1.0, 0.0)
    assert plain.known(np.array([0.1, 0.9]), np.array([0.875, 0.875])) == pytest.approx([0.5, 0.5])
    assert read_novelty(plain.settings(), "x") == plain


@pytest.mark.parametrize(
    "settings",
    [
        None,
        {},
        {"distance": [0.5, 0.1]},
        {"distance": [0.5, 0], "slope": 1, "offset": 0},
        {"distance": [0.5], "slope": 1, "offset": 0},
        {"distance": [0.5, 0.1], "slope": float("nan"), "offset": 0},
        {"distance": [0.5, 0.1], "slope": "x", "offset": 0},
        {"distance": [0.5, 0.1], "probability": [0.5, -1], "slope": 1, "offset": 0},
    ],
)
def test_damaged_settings_are_refused(settings):
    with pytest.raises(ModelInvalidError, match=r"settings\.known"):
        read_novelty(settings, "bundle")


def test_auroc_counts_pairs_and_ties_by_half():
    assert auroc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1
    assert auroc(np.array([0.0, 2.0]), np.array([1.0])) == 0.5
    assert auroc(np.array([1.0]), np.array([1.0])) == 0.5


# Learned ---------------------------------------------------------------------------------------------------


class Pictures:
    """Each class around its own vector; drawn ones elsewhere."""

    fits_vectors = False

    def __init__(self, train: int, held: int) -> None:
        self.centres = vectors(CLASSES, seed=5) * 3
        self.train, self.held = self.samples(train, 6), self.samples(held, 7)

    def samples(self, count, seed):
        noise = vectors(count, seed)
        return [
            SimpleNamespace(label=place % CLASSES, vector=self.centres[place % CLASSES] + each)
            for place, each in enumerate(noise)
        ]

    def inputs(self, samples):
        yield from ({"pooled": each.vector[None]} for each in samples)

    def drawn(self):
        yield from ({"pooled": each[None]} for each in vectors(30, seed=8))


def test_what_is_learned_tells_drawn_pictures_from_held_ones():
    pictures = Pictures(100, 60)
    found = completed(model(), {"temperature": 1.0}, pictures, several=False)
    novelty, session = read_novelty(found.settings["known"], "x"), OnnxSession(found.model, "more")
    assert novelty.probability is not None

    def known(each):
        out = session.run(each)
        logits = out["logits"][0]
        return float(novelty.known(np.exp(logits).max() / np.exp(logits).sum(), out[NEAREST][0]))

    held = [known(each) for each in pictures.inputs(pictures.samples(40, 9))]
    drawn = [known(each) for each in pictures.drawn()]
    assert np.mean(np.array(held) > 0.5) > 0.9
    assert np.mean(np.array(drawn) < 0.5) > 0.9
    assert "| near" in found.card
    assert "100 vectors" in found.card


def test_without_held_pictures_a_part_of_the_others_is_held_back_and_the_distance_counts_alone():
    found = completed(model(), {}, Pictures(100, 0), several=False)
    assert "probability" not in found.settings["known"]
    assert "80 vectors" in found.card


def test_pictures_that_all_layers_were_fitted_to_stand_for_no_others():
    pictures = Pictures(100, 0)
    pictures.fits_vectors = True
    assert completed(model(), {}, pictures, several=False) is None


@pytest.mark.parametrize(("train", "held"), [(10, 0), (0, 20)])
def test_too_few_pictures_are_not_learned_from(train, held):
    assert completed(model(), {}, Pictures(train, held), several=False) is None


def test_the_file_stays_bounded():
    found = completed(model(), {}, Pictures(MOST_KEPT + 500, 20), several=False)
    stored = {each.name: each for each in onnx.load_from_string(found.model).graph.initializer}
    assert list(stored["known.vectors"].dims) == [WIDTH, MOST_KEPT]
    assert stored["known.vectors"].data_type == TensorProto.FLOAT16


# The head and its answers ----------------------------------------------------------------------------------


def head(settings, outputs=("logits", NEAREST)) -> Head:
    golden = {"logits": np.zeros((1, 3), np.float32), NEAREST: np.zeros(1, np.float32)}
    manifest = SimpleNamespace(name="pets", settings=settings)
    found = {name: golden[name] for name in outputs}
    return Head(
        SimpleNamespace(
            labels=("cat", "dog", "owl"), path="bundle", manifest=manifest, read_golden=lambda: ({}, found)
        )
    )


def test_the_head_says_it_and_labels_stay():
    outputs = {"logits": np.array([[1.0, 5.0, 0.0]], np.float32), NEAREST: np.array([0.9], np.float32)}
    without = head({}).decode(outputs, FRAME, {})
    found = head({"known": NOVELTY.settings()}).decode(outputs, FRAME, {"top_k": 1, "threshold": 0.99})
    assert without.known is None
    assert found.labels == ()
    assert found.known == pytest.approx(0.95, abs=0.05)  # of the best class, whatever is asked for
    assert head({"known": NOVELTY.settings()}).decode(outputs, FRAME, {}).labels == without.labels


def test_a_bundle_with_settings_and_without_the_output_is_refused():
    with pytest.raises(ModelInvalidError, match="needs the output 'nearest'"):
        head({"known": NOVELTY.settings()}, outputs=("logits",))


ANSWER = Classification((ScoredLabel(1, "cat", 0.75),), 0.25, (ScoredLabel(0, "animal", 0.875),))
PLAIN = Classification(ANSWER.labels)


@pytest.mark.parametrize("answer", [ANSWER, PLAIN, Classification((), 0.0)])
def test_messages_keep_what_is_known_and_that_nothing_is(answer):
    message = results_pb2.Classification()
    TASK.fill(message, answer)
    assert TASK.read(results_pb2.Classification.FromString(message.SerializeToString())) == answer


def test_documents_of_heads_that_cannot_tell_have_labels_alone():
    assert list(TASK.document(PLAIN)) == ["labels"]
    assert list(TASK.document(ANSWER)) == ["labels", "known", "parents"]


def test_tables_and_drawings_say_unknown_below_a_half():
    assert TASK.rows(ANSWER) == [
        ("unknown", ""),
        ("cat", "75.0 %"),
        ("parent: animal", "87.5 %"),
        ("known image", "25.0 %"),
    ]
    assert TASK.panel(ANSWER) == ["unknown", ANSWER.labels[0], ScoredLabel(0, "parent: animal", 0.875)]
    assert TASK.rows(Classification(ANSWER.labels, 0.5))[0] == ("cat", "75.0 %")
    assert TASK.panel(PLAIN) == ANSWER.labels

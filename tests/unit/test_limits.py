"""The one check of how much a request holds."""

import time
from math import inf, nan

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from trunkline.api.inference.v1 import head_service_pb2, tensor_pb2
from trunkline.api.oip.v2 import inference_service_pb2
from trunkline.api.training.v1 import training_service_pb2
from trunkline.api.vision.v1 import gallery_service_pb2, vision_service_pb2
from trunkline.core.errors import InvalidRequestError
from trunkline.serving.limits import check_message

SECRET = "correct-horse-battery-staple"


def analyze(**params) -> vision_service_pb2.AnalyzeRequest:
    request = vision_service_pb2.AnalyzeRequest(heads=[{"head": "imagenet"}, {"head": "pets"}])
    request.heads[1].params.update(params)
    return request


def refused(request) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        check_message(request)
    assert len(caught.value.message) < 300
    return caught.value


@pytest.mark.parametrize(
    "request_",
    [
        vision_service_pb2.ClassifyRequest(image={"data": b"x" * 100_000}, head="h" * 255, top_k=5),
        analyze(
            top_k=3, classes=[f"class {number}" for number in range(1000)], nested={"a": [{"b": [1, None, True]}]}
        ),
        vision_service_pb2.AnalyzeRequest(heads=[{"head": f"h{number}"} for number in range(64)]),
        vision_service_pb2.DetectRequest(classes=["é" * 255] * 1000, score_threshold=0.5),
        vision_service_pb2.CompareRequest(second_embedding={"space": "s", "values": [0.1] * 65_536}),
        gallery_service_pb2.DeleteImagesRequest(gallery="g", ids=["i" * 255] * 1000),
        training_service_pb2.CreateTrainingJobRequest(
            request={"name": "a", "data": "/d", "unit": {str(n): "mm" for n in range(256)}, "licence": "L" * 4096}
        ),
        inference_service_pb2.ModelInferRequest(
            inputs=[{"name": "pixels", "shape": [1, 480, 640, 3], "contents": {"uint_contents": [0] * 921_600}}],
            parameters={"heads": {"string_param": ",".join(["h" * 255] * 64)}},
        ),
        head_service_pb2.PredictRequest(features={"pooled": tensor_pb2.Tensor(shape=[1, 1280], data=b"x" * 5120)}),
    ],
    ids=lambda request: type(request).__name__,
)
def test_what_is_within_the_limits_passes(request_):
    check_message(request_)


@pytest.mark.parametrize(
    ("request_", "field", "text"),
    [
        (vision_service_pb2.ClassifyRequest(head=SECRET * 10), "head", "has 280 characters; at most 255"),
        (
            vision_service_pb2.AnalyzeRequest(heads=[{"head": "x"}] * 65),
            "heads",
            "has 65 items; at most 64 are allowed",
        ),
        (
            vision_service_pb2.AnalyzeRequest(heads=[{}, {}, {"head": SECRET * 10}]),
            "heads[2].head",
            "has 280 characters",
        ),
        (vision_service_pb2.DetectRequest(classes=["a", SECRET * 10]), "classes[1]", "has 280 characters"),
        (
            vision_service_pb2.CompareRequest(second_embedding={"values": [1.0] * 65_537}),
            "second_embedding.values",
            "has 65,537 items; at most 65,536",
        ),
        (
            training_service_pb2.CreateTrainingJobRequest(request={"unit": {SECRET * 10: "mm"}}),
            "request.unit[0]",
            "has 280 characters",
        ),
        (
            training_service_pb2.CreateTrainingJobRequest(request={"unit": {"a": "mm", "b": SECRET * 10}}),
            "request.unit",
            "has 280 characters",
        ),
        (
            inference_service_pb2.RepositoryModelLoadRequest(parameters={"file": {"bytes_param": b"x" * 5000}}),
            "parameters[0].bytes_param",
            "has 5,000 bytes; at most 4,096",
        ),
        (
            head_service_pb2.PredictRequest(features={"pooled": tensor_pb2.Tensor(shape=[1] * 17)}),
            "features[0].shape",
            "has 17 items",
        ),
    ],
)
def test_what_is_beyond_is_refused_by_the_field_the_count_and_the_limit(request_, field, text):
    error = refused(request_)
    assert error.metadata["field"].startswith(field)
    assert error.message.startswith(field)
    assert text in error.message
    assert SECRET not in error.message


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"classes": ["x"] * 2049}, "too many values: all parameters of a request have at most 2,048 together"),
        ({f"name {number}": 1 for number in range(2049)}, "too many values"),
        ({"text": SECRET * 40}, "has 1,120 characters in a name or a text; at most 1,024"),
        ({SECRET * 40: 1}, "has 1,120 characters in a name or a text"),
        ({"deep": [[[[[[[[1]]]]]]]]}, "is nested too deeply: lists and objects may be nested 8 deep"),
        ({"deep": {"a": [{"b": {"c": [{"d": {"e": {}}}]}}]}}, "is nested too deeply"),
    ],
)
def test_parameters_have_bounds_on_their_values_their_texts_and_their_depth(params, text):
    error = refused(analyze(**params))
    assert error.message.startswith("heads[1].params ")
    assert text in error.message
    assert SECRET not in error.message


def test_the_values_of_all_heads_count_together():
    request = vision_service_pb2.AnalyzeRequest(heads=[{"head": "a"}, {"head": "b"}, {"head": "c"}])
    for head in request.heads:
        head.params.update({"classes": ["x"] * 1000})
    assert "heads[2].params has too many values" in refused(request).message
    del request.heads[2]
    check_message(request)
    check_message(request)  # each request has them anew


@pytest.mark.parametrize("number", [nan, inf, -inf])
def test_numbers_that_are_not_finite_are_refused(number):
    assert refused(vision_service_pb2.DetectRequest(score_threshold=number)).metadata["field"] == "score_threshold"
    found = refused(gallery_service_pb2.SearchGalleryRequest(threshold=number))
    assert found.message == "threshold is not a finite number"
    nested = training_service_pb2.CreateTrainingJobRequest(request={"options": {"rate": number}})
    assert refused(nested).metadata["field"] == "request.options.rate"
    calibrated = vision_service_pb2.CompareRequest(second_embedding={"calibration": {"slope": number}})
    assert refused(calibrated).metadata["field"] == "second_embedding.calibration.slope"


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(1_000_000_001, 0), (-(2**63), 0), (2**63 - 1, 0), (1, 1_000_000_000)]
)
def test_times_that_are_none_are_refused(seconds, nanos):
    request = analyze()
    request.heads[0].budget.seconds, request.heads[0].budget.nanos = seconds, nanos
    message = refused(request).message
    assert message.startswith("heads[0].budget is not a valid time: give at most 1,000,000,000 seconds")


def test_counts_are_looked_at_before_contents():
    request = gallery_service_pb2.DeleteImagesRequest(ids=["x"] * 5_000_000)
    started = time.process_time()
    refused(request)
    # To look at each takes several times as long.
    assert time.process_time() - started < 0.2


def test_a_message_that_can_hold_itself_is_checked_to_its_depth():
    file = descriptor_pb2.FileDescriptorProto(name="tree.proto", package="trees", syntax="proto3")
    node = file.message_type.add(name="Node")
    node.field.add(name="weight", number=1, type="TYPE_DOUBLE", label="LABEL_OPTIONAL")
    node.field.add(name="left", number=2, type="TYPE_MESSAGE", type_name=".trees.Node", label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("trees.Node"))
    check_message(made(left=made(left=made(weight=1.0))))
    assert refused(made(left=made(left=made(weight=nan)))).metadata["field"] == "left.left.weight"

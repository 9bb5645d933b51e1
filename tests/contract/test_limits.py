"""Every list, map, text and bytes field of every request has a limit, and the reference page has them all."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from grpc_health.v1 import health_pb2

from trunkline.api.limits.v1 import limits_pb2
from trunkline.core.errors import InvalidRequestError
from trunkline.serving.limit_page import page, request_fields, services
from trunkline.serving.limit_table import OF_OTHERS, fields_below, is_map, limits_of, map_key, missing
from trunkline.serving.limits import check_message

ROOT = Path(__file__).parents[2]
SERVICES = {service.full_name: service for service in services()}
METHODS = [method for service in SERVICES.values() for method in service.methods]
LISTS = [
    (method, field)
    for method in METHODS
    for field in method.input_type.fields
    if field.is_repeated or field.type == FieldDescriptor.TYPE_STRING
]


def test_all_services_are_looked_at():
    names = {"VisionService", "GalleryService", "CatalogService", "TrainingService", "BackboneService", "HeadService"}
    assert {name.rpartition(".")[2] for name in SERVICES} == {*names, "GRPCInferenceService"}
    served = (ROOT / "protos/trunkline/api").rglob("*_service.proto")
    assert len(SERVICES) == sum(path.read_text().count("\nservice ") for path in served)


@pytest.mark.parametrize("name", SERVICES)
def test_every_field_of_a_request_that_can_grow_has_its_limits(name):
    lacking = {field.full_name: missing(field) for field in request_fields(SERVICES[name])}
    assert {field: limits for field, limits in lacking.items() if limits} == {}


def test_health_checks_have_limits_too():
    assert not any(map(missing, fields_below(health_pb2.HealthCheckRequest.DESCRIPTOR)))


def test_a_field_without_a_limit_would_be_found():
    answers = SERVICES["trunkline.api.vision.v1.VisionService"].methods_by_name["GetHead"].output_type
    lacking = {field.name: missing(field) for field in fields_below(answers)}
    assert lacking["labels"] == ["max_items", "max_length"]
    assert lacking["aliases"] == ["max_items", "max_key_length", "max_length"]
    assert lacking["canary_share"] == []
    segmentation = answers.file.pool.FindMessageTypeByName("trunkline.api.vision.v1.Segmentation")
    assert missing(segmentation.fields_by_name["label_map_png"]) == ["max_bytes or bytes_setting"]


def test_the_table_for_protos_of_others_names_fields_that_exist():
    known = {field.full_name for method in METHODS for field in fields_below(method.input_type)}
    known |= {field.full_name for field in health_pb2.HealthCheckRequest.DESCRIPTOR.fields}
    assert set(OF_OTHERS) <= known


def test_limits_say_what_their_field_can_have():
    for service in SERVICES.values():
        for field in request_fields(service):
            found = limits_of(field)
            assert not found.max_items or field.is_repeated, field.full_name
            assert not found.max_key_length or (is_map(field) and map_key(field).type == field.TYPE_STRING)
            assert not (found.max_bytes or found.bytes_setting) or field.type == field.TYPE_BYTES, field.full_name
            assert not (found.max_values or found.max_depth) or field.message_type.name == "Struct", field.full_name


def test_settings_that_are_named_exist():
    settings = (ROOT / "docs/reference/settings.md").read_text()
    for service in SERVICES.values():
        for field in request_fields(service):
            setting = limits_of(field).bytes_setting
            assert not setting or f"| `{setting}` |" in settings


@pytest.mark.parametrize(("method", "field"), LISTS, ids=lambda each: each.full_name)
def test_each_request_is_refused_that_is_over_a_limit_of_its_own(method, field):
    message = message_factory.GetMessageClass(method.input_type)()
    check_message(message)
    put(message, field, beyond=0)
    check_message(message)
    put(message, field, beyond=1)
    with pytest.raises(InvalidRequestError, match=f"^{field.name} has ") as caught:
        check_message(message)
    assert caught.value.metadata == {"field": field.name}
    assert len(caught.value.message) < 200


def put(message, field: FieldDescriptor, beyond: int) -> None:
    """As much as the field may have, and so much more."""
    limits = limits_of(field)
    if not field.is_repeated:
        setattr(message, field.name, "é" * (limits.max_length + beyond))
        return
    count = limits.max_items + beyond
    message.ClearField(field.name)
    items = getattr(message, field.name)
    if is_map(field):
        for place in range(count):
            items[str(place)].SetInParent()
    elif field.message_type is not None:
        items.extend(message_factory.GetMessageClass(field.message_type)() for _ in range(count))
    else:
        items.extend([{field.TYPE_BYTES: b"x", field.TYPE_STRING: "x"}.get(field.type, 1)] * count)


def test_the_reference_page_is_fresh():
    assert (ROOT / "docs/reference/limits.md").read_text() == page(), "run `make proto`"


def test_the_command_of_the_page_prints_it():
    done = subprocess.run(
        [sys.executable, "-m", "trunkline.serving.limit_page"], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout == page()


def test_the_option_has_one_number_for_good():
    assert limits_pb2.DESCRIPTOR.extensions_by_name["limits"].number == 50815

"""Every method of every service, and every route of the HTTP port, is in the table of roles."""

from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from trunkline.api.catalog.v1 import catalog_service_pb2
from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2
from trunkline.api.oip.v2 import inference_service_pb2
from trunkline.api.training.v1 import training_service_pb2
from trunkline.api.vision.v1 import gallery_service_pb2, vision_service_pb2
from trunkline.gateway.rest.inference import ROUTES
from trunkline.gateway.rest.rules import rules
from trunkline.serving.security.callers import Role
from trunkline.serving.security.methods import Need, need_of, needs

FILES = (
    health_pb2,
    reflection_pb2,
    catalog_service_pb2,
    backbone_service_pb2,
    head_service_pb2,
    inference_service_pb2,
    training_service_pb2,
    gallery_service_pb2,
    vision_service_pb2,
)
OF_PEERS = ("BackboneService", "HeadService")
OPEN = {
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "inference.GRPCInferenceService/ServerLive",
    "inference.GRPCInferenceService/ServerReady",
}


def services() -> list[ServiceDescriptor]:
    return [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]


def test_the_table_has_each_method_of_each_service_and_no_other():
    methods = {f"{service.full_name}/{method.name}" for service in services() for method in service.methods}
    assert set(needs()) == methods


def test_every_route_stands_for_a_method_of_the_table():
    assert all(rule.call.removeprefix("/") in needs() for rule in rules())
    assert all(f"inference.GRPCInferenceService/{route.method}" in needs() for route in ROUTES)


def test_what_is_not_in_the_table_nobody_may_call():
    assert need_of("/trunkline.api.vision.v1.VisionService/Unknown") == Need()
    assert not Need().roles


def test_health_alone_is_open():
    assert {method for method, need in needs().items() if need.is_open} == OPEN


def test_parts_of_the_service_take_calls_of_peers_alone():
    for method, need in needs().items():
        of_peers = method.split("/")[0].endswith(OF_PEERS)
        assert (need.roles == {Role.PEER}) == of_peers


def test_fields_that_name_what_changes_are_those_of_the_request():
    by_name = {f"{service.full_name}/{method.name}": method for service in services() for method in service.methods}
    for method, need in needs().items():
        for path in need.changes:
            message = by_name[method].input_type
            for name in path.split("."):
                field = message.fields_by_name[name]
                message = field.message_type


def test_what_changes_something_needs_a_role_of_its_own():
    for need in needs().values():
        if need.changes:
            assert not need.is_open
            assert len(need.roles) == 1

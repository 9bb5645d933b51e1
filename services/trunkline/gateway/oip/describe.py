"""Descriptions of models as messages of the protocol."""

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.api.oip.v2 import model_config_pb2
from trunkline.gateway.oip.model import MAX_BATCH, Description, Model, Port

PLATFORM = "trunkline"
_TYPES = {
    "BYTES": model_config_pb2.TYPE_STRING,
    "FP32": model_config_pb2.TYPE_FP32,
    "UINT8": model_config_pb2.TYPE_UINT8,
}


def metadata(found: Description) -> pb.ModelMetadataResponse:
    return pb.ModelMetadataResponse(
        name=found.name,
        versions=found.versions,
        platform=PLATFORM,
        inputs=map(_tensor, found.inputs),
        outputs=map(_tensor, found.outputs),
    )


def config(found: Description) -> model_config_pb2.ModelConfig:
    versions = model_config_pb2.ModelVersionPolicy.Specific(versions=map(int, found.versions))
    message = model_config_pb2.ModelConfig(
        name=found.name,
        platform=PLATFORM,
        backend=PLATFORM,
        version_policy=model_config_pb2.ModelVersionPolicy(specific=versions),
        max_batch_size=MAX_BATCH,
        input=map(_input, found.inputs),
        output=[
            model_config_pb2.ModelOutput(name=port.name, data_type=_TYPES[port.datatype], dims=port.dims)
            for port in found.outputs
        ],
        model_transaction_policy=model_config_pb2.ModelTransactionPolicy(decoupled=False),
    )
    for name, value in found.facts.items():
        message.parameters[name].string_value = value
    return message


def index_entry(model: Model) -> pb.RepositoryIndexResponse.ModelIndex:
    found, fault = model.description, model.fault
    state = "UNAVAILABLE" if fault else "READY"
    return pb.RepositoryIndexResponse.ModelIndex(name=found.name, version=found.version, state=state, reason=fault)


def _tensor(port: Port) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=port.name, datatype=port.datatype, shape=port.shape)


def _input(port: Port) -> model_config_pb2.ModelInput:
    return model_config_pb2.ModelInput(
        name=port.name, data_type=_TYPES[port.datatype], dims=port.dims, optional=port.optional
    )

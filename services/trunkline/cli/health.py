"""`trunkline health`: the state of one process as an exit status, for probes that are commands."""

from typing import Annotated

import typer

from trunkline.cli.options import DEFAULT_TARGET, check_target
from trunkline.cli.output import complain


def health(
    address: Annotated[
        str,
        typer.Argument(
            envvar="TRUNKLINE_TARGET",
            metavar="HOST:PORT",
            callback=check_target,
            help="Address of any Trunkline service.",
        ),
    ] = DEFAULT_TARGET,
    *,
    service: Annotated[
        str,
        typer.Option(
            "--service",
            metavar="NAME",
            help="Full name of a gRPC service, or head/NAME for a head.",
            show_default="the whole process",
        ),
    ] = "",
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, metavar="S", help="Seconds to wait.")] = 2.0,
) -> None:
    """Ask grpc.health.v1 once. The status is 0 if a service says SERVING, otherwise 1."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from trunkline.client.connection import open_sync
    from trunkline.client.errors import from_rpc_error

    try:
        with open_sync(address) as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout)
    except grpc.RpcError as error:
        unknown = isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.NOT_FOUND
        complain(
            f"{address} knows no service {service!r}" if unknown else from_rpc_error(error, address, timeout).message
        )
        raise typer.Exit(1) from error
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    print(status)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise typer.Exit(1)

"""gRPC's interop service by grpcio, and the witness of what is over: on the port that PORT says, without TLS."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "proto"))
interop, interop_services = grpc.protos_and_services("interop.proto")
witness, witness_services = grpc.protos_and_services("witness.proto")

#: Names of calls that are over; as many as a run of the judges makes, and no more.
OVER: set[str] = set()


def payload(size: int) -> Any:
    return interop.Payload(body=bytes(size))


class TestService(interop_services.TestServiceServicer):  # type: ignore[name-defined, misc]
    """What gRPC's interop descriptions ask of a server; UnimplementedCall is left out on purpose."""

    def EmptyCall(self, request: Any, context: grpc.ServicerContext) -> Any:
        return interop.Empty()

    def UnaryCall(self, request: Any, context: grpc.ServicerContext) -> Any:
        _echo(context)
        if request.response_status.code:
            _refuse(context, request.response_status)
        return interop.SimpleResponse(payload=payload(request.response_size))

    def StreamingOutputCall(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        _watch(context)
        yield from _answers(request)

    def StreamingInputCall(self, requests: Iterable[Any], context: grpc.ServicerContext) -> Any:
        _watch(context)
        size = sum(len(request.payload.body) for request in requests)
        return interop.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, requests: Iterable[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        _echo(context)
        _watch(context)
        for request in requests:
            if request.response_status.code:
                _refuse(context, request.response_status)
            yield from _answers(request)


class Witness(witness_services.WitnessServicer):  # type: ignore[name-defined, misc]
    """Tells what `_watch` has seen."""

    def Look(self, request: Any, context: grpc.ServicerContext) -> Any:
        return witness.Seen(over=request.name in OVER)


def _answers(request: Any) -> Iterator[Any]:
    for parameters in request.response_parameters:
        time.sleep(parameters.interval_us / 1e6)
        yield interop.StreamingOutputCallResponse(payload=payload(parameters.size))


def _refuse(context: grpc.ServicerContext, status: Any) -> None:
    codes = {code.value[0]: code for code in grpc.StatusCode}
    context.abort(codes[status.code], status.message)


def _echo(context: grpc.ServicerContext) -> None:
    """Gives metadata back: text in front, bytes behind."""
    sent = dict(context.invocation_metadata())
    if (initial := sent.get("x-grpc-test-echo-initial")) is not None:
        context.send_initial_metadata((("x-grpc-test-echo-initial", initial),))
    if (trailing := sent.get("x-grpc-test-echo-trailing-bin")) is not None:
        context.set_trailing_metadata((("x-grpc-test-echo-trailing-bin", trailing),))


def _watch(context: grpc.ServicerContext) -> None:
    """Writes down when a named call is over."""
    name = str(dict(context.invocation_metadata()).get("x-judge-call"))
    if not context.add_callback(lambda: OVER.add(name)):
        OVER.add(name)


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(max_workers=32))
    interop_services.add_TestServiceServicer_to_server(TestService(), server)
    witness_services.add_WitnessServicer_to_server(Witness(), server)
    if server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}") == 0:
        sys.exit("the port is taken")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()

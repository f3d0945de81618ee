"""gRPC's interop cases by grpcio; doc/interop-test-descriptions.md of the gRPC project says what each must do.

Beyond the descriptions: a cancel and a deadline must reach the server, which `Witness` tells.
"""

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import grpc

from judges.outcome import Wrong, same
from judges.system import HERE, PATIENCE, Way

sys.path.insert(0, str(HERE / "proto"))
interop, interop_services = grpc.protos_and_services("interop.proto")
witness, witness_services = grpc.protos_and_services("witness.proto")

REQUESTS = (27182, 8, 1828, 45904)
ANSWERS = (31415, 9, 2653, 58979)
INITIAL = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
TRAILING = ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab")
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP \U0001f608\t\n"


class Client:
    """A channel on one way to one server."""

    def __init__(self, way: Way, certificate: bytes) -> None:
        options = [("grpc.default_authority", way.host), ("grpc.max_receive_message_length", 64 << 20)]
        address = f"127.0.0.1:{way.port}"
        if way.tls:
            options = [*options, ("grpc.ssl_target_name_override", way.host)]
            self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate), options)
        else:
            self._channel = grpc.insecure_channel(address, options)
        self.test = interop_services.TestServiceStub(self._channel)
        self.nobody = interop_services.UnimplementedServiceStub(self._channel)
        self._witness = witness_services.WitnessStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def cancelled(self, name: str) -> None:
        """Waits until the server has seen that the call of this name was given up."""
        end = time.monotonic() + PATIENCE / 6
        while not self._witness.Look(witness.Call(name=name), timeout=PATIENCE).over:
            if time.monotonic() > end:
                raise Wrong("the server was not told that the call is over")
            time.sleep(0.02)


class Questions:
    """The requests of a stream, one as it is asked for; ends with the stream."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Any] = SimpleQueue()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._queue.get, None)

    def ask(self, request: Any) -> None:
        self._queue.put(request)

    def end(self) -> None:
        self._queue.put(None)


def payload(size: int) -> Any:
    return interop.Payload(body=bytes(size))


def question(size: int, answer: int) -> Any:
    parameters = [interop.ResponseParameters(size=answer)]
    return interop.StreamingOutputCallRequest(response_parameters=parameters, payload=payload(size))


def status(call: Callable[[], object]) -> tuple[grpc.StatusCode, str | None]:
    """The status that a call fails with."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def empty_unary(client: Client) -> None:
    same(client.test.EmptyCall(interop.Empty(), timeout=PATIENCE), interop.Empty(), "the answer")


def large_unary(client: Client) -> None:
    request = interop.SimpleRequest(response_size=314159, payload=payload(271828))
    same(len(client.test.UnaryCall(request, timeout=PATIENCE).payload.body), 314159, "bytes of the answer")


def client_streaming(client: Client) -> None:
    requests = (interop.StreamingInputCallRequest(payload=payload(size)) for size in REQUESTS)
    answer = client.test.StreamingInputCall(requests, timeout=PATIENCE)
    same(answer.aggregated_payload_size, sum(REQUESTS), "bytes that arrived")


def server_streaming(client: Client) -> None:
    parameters = [interop.ResponseParameters(size=size) for size in ANSWERS]
    request = interop.StreamingOutputCallRequest(response_parameters=parameters)
    answers = client.test.StreamingOutputCall(request, timeout=PATIENCE)
    same(tuple(len(answer.payload.body) for answer in answers), ANSWERS, "sizes")


def ping_pong(client: Client) -> None:
    questions = Questions()
    answers = client.test.FullDuplexCall(iter(questions), timeout=PATIENCE)
    for size, answer in zip(REQUESTS, ANSWERS, strict=True):
        questions.ask(question(size, answer))
        same(len(next(answers).payload.body), answer, "size of an answer")
    questions.end()
    same(list(answers), [], "answers after the last")


def empty_stream(client: Client) -> None:
    same(list(client.test.FullDuplexCall(iter(()), timeout=PATIENCE)), [], "answers")


def custom_metadata(client: Client) -> None:
    request = interop.SimpleRequest(response_size=314159, payload=payload(271828))
    _, call = client.test.UnaryCall.with_call(request, metadata=(INITIAL, TRAILING), timeout=PATIENCE)
    same(dict(call.initial_metadata()).get(INITIAL[0]), INITIAL[1], "initial metadata")
    same(dict(call.trailing_metadata()).get(TRAILING[0]), TRAILING[1], "trailing metadata")
    stream = client.test.FullDuplexCall(iter([question(27182, 31415)]), metadata=(INITIAL, TRAILING), timeout=PATIENCE)
    same(len(list(stream)), 1, "answers")
    same(dict(stream.initial_metadata()).get(INITIAL[0]), INITIAL[1], "initial metadata of the stream")
    same(dict(stream.trailing_metadata()).get(TRAILING[0]), TRAILING[1], "trailing metadata of the stream")


def status_code_and_message(client: Client) -> None:
    wanted = (grpc.StatusCode.UNKNOWN, "test status message")
    echo = interop.EchoStatus(code=2, message=wanted[1])
    request = interop.SimpleRequest(response_status=echo)
    same(status(lambda: client.test.UnaryCall(request, timeout=PATIENCE)), wanted, "status")
    requests = iter([interop.StreamingOutputCallRequest(response_status=echo)])
    same(status(lambda: list(client.test.FullDuplexCall(requests, timeout=PATIENCE))), wanted, "status of the stream")


def special_status_message(client: Client) -> None:
    request = interop.SimpleRequest(response_status=interop.EchoStatus(code=2, message=SPECIAL))
    same(status(lambda: client.test.UnaryCall(request, timeout=PATIENCE)), (grpc.StatusCode.UNKNOWN, SPECIAL), "status")


def unimplemented_method(client: Client) -> None:
    code, _ = status(lambda: client.test.UnimplementedCall(interop.Empty(), timeout=PATIENCE))
    same(code, grpc.StatusCode.UNIMPLEMENTED, "status")


def unimplemented_service(client: Client) -> None:
    code, _ = status(lambda: client.nobody.UnimplementedCall(interop.Empty(), timeout=PATIENCE))
    same(code, grpc.StatusCode.UNIMPLEMENTED, "status")


def cancel_after_begin(client: Client) -> None:
    questions, name = Questions(), uuid.uuid4().hex
    call = client.test.StreamingInputCall.future(iter(questions), metadata=(("x-judge-call", name),))
    # Something must have gone, or there is nothing that the server could be told of.
    questions.ask(interop.StreamingInputCallRequest(payload=payload(8)))
    time.sleep(0.1)
    call.cancel()
    questions.end()
    same(call.code(), grpc.StatusCode.CANCELLED, "status")
    client.cancelled(name)


def cancel_after_first_response(client: Client) -> None:
    questions, name = Questions(), uuid.uuid4().hex
    call = client.test.FullDuplexCall(iter(questions), metadata=(("x-judge-call", name),))
    questions.ask(question(27182, 31415))
    same(len(next(call).payload.body), 31415, "size of the answer")
    call.cancel()
    questions.end()
    same(status(lambda: next(call))[0], grpc.StatusCode.CANCELLED, "status")
    client.cancelled(name)


def timeout_on_sleeping_server(client: Client) -> None:
    questions = Questions()
    call = client.test.FullDuplexCall(iter(questions), timeout=0.001)
    questions.ask(interop.StreamingOutputCallRequest(payload=payload(27182)))
    code, _ = status(lambda: list(call))
    questions.end()
    same(code, grpc.StatusCode.DEADLINE_EXCEEDED, "status")


def deadline_reaches_the_server(client: Client) -> None:
    """As the one before, long enough for the call to get there."""
    questions, name = Questions(), uuid.uuid4().hex
    call = client.test.FullDuplexCall(iter(questions), timeout=0.5, metadata=(("x-judge-call", name),))
    questions.ask(question(27182, 31415))
    same(len(next(call).payload.body), 31415, "size of the answer")
    same(status(lambda: next(call))[0], grpc.StatusCode.DEADLINE_EXCEEDED, "status")
    questions.end()
    client.cancelled(name)


CASES: tuple[Callable[[Client], None], ...] = (
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    custom_metadata,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    deadline_reaches_the_server,
)

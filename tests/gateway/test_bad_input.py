"""What callers get wrong: an honest status in OpenAI's shape, at once, and the gateway goes on."""

import contextlib
import json
import random
import socket
import time
from collections import Counter

import pytest

from gateway.gateway_process import KEY, alive, chat_body

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"authorization": None}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": f"Basic {KEY}"}, None),
        ({"authorization": "Bearer sk-llmp-wrong"}, "invalid_api_key"),
        ({"authorization": "Bearer " + "x" * 4000}, "invalid_api_key"),
        ({"authorization": f"Bearer {KEY}\u00e9"}, "invalid_api_key"),
    ],
)
def test_without_a_good_key_the_answer_is_401(gateway, headers, code):
    answer = gateway.chat(headers=headers, key=None)
    assert answer.status == 401
    assert answer.error["code"] == code
    assert answer.headers["www-authenticate"] == "Bearer"
    assert KEY.encode() not in answer.body, "an answer must never repeat a key"


def test_an_identity_cannot_be_claimed_by_other_headers(gateway):
    assert gateway.chat(headers={"x-api-key": KEY, "x-tenant": "acme"}, key=None).status == 401


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, "invalid_json"),
        (b"{", None, "invalid_json"),
        (b"[]", None, "invalid_json"),
        (b"null", None, "invalid_json"),
        (b'"text"', None, "invalid_json"),
        (b"\xef\xbb\xbf{}", None, "invalid_json"),
        (b'{"model":"m","x":"\xff\xfe"}', None, "invalid_json"),
        (b'{"model":"m\x00"}', None, "invalid_json"),
        (b'{"model":"m","x":NaN}', None, "invalid_json"),
        (b'{"model":"m","messages":' + b"[" * 200_000 + b"]" * 200_000 + b"}", None, "invalid_json"),
        (b'{"model":"m","messages":' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"}", None, "invalid_json"),
        (b"{}", "model", "missing_required_parameter"),
        (b'{"model":1}', "model", "invalid_type"),
        (b'{"model":null}', "model", "invalid_type"),
        (b'{"model":"m","stream":"yes"}', "stream", "invalid_type"),
        (b'{"model":"m","max_tokens":"many"}', "max_tokens", "invalid_type"),
        (b'{"model":"m","max_tokens":1.5}', "max_tokens", "invalid_type"),
        (b'{"model":"m","max_tokens":-5}', "max_tokens", "integer_below_min_value"),
        (b'{"model":"m","max_tokens":0}', "max_tokens", "integer_below_min_value"),
        (b'{"model":"m","max_completion_tokens":-1}', "max_completion_tokens", "integer_below_min_value"),
        (b'{"model":"m","stream_options":[]}', "stream_options", "invalid_type"),
        (b'{"model":"m","stream_options":{"include_usage":3}}', "stream_options.include_usage", "invalid_type"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_cannot_be_used_is_400_and_says_why(gateway, engine, body, param, code):
    before = len(engine.requests)
    answer = gateway.request("POST", "/v1/chat/completions", body)
    assert answer.status == 400
    assert (answer.error["param"], answer.error["code"]) == (param, code)
    assert len(engine.requests) == before, "the engine's time is not for what is known to be wrong"


def test_an_unknown_model_is_404(gateway):
    answer = gateway.chat(model="nope")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert gateway.request("GET", "/v1/models/nope").status == 404


def test_of_duplicate_keys_the_last_counts_here_as_in_the_engine(gateway):
    answer = gateway.request("POST", "/v1/chat/completions", b'{"model":"m","messages":[],"model":"nope"}')
    assert answer.status == 404, "gateway and engine must not read two different models out of one body"


@pytest.mark.parametrize(
    ("path", "model"),
    [("/v1/chat/completions", "embedder"), ("/v1/chat/completions", "base"), ("/v1/embeddings", "m")],
)
def test_a_model_on_the_wrong_endpoint_is_404(gateway, path, model):
    answer = gateway.chat(path=path, model=model)
    assert (answer.status, answer.error["code"]) == (404, "model_not_supported")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/chat", "/v1/chat/completions/", "/metrics", "/v1/%2e%2e/x", "//"])
def test_an_unknown_path_is_404(gateway, path):
    assert gateway.request("POST", path, b"{}").error["code"] == "unknown_url"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_wrong_method_is_405_and_names_the_right_one(gateway, method):
    answer = gateway.request(method, "/v1/chat/completions")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.error["code"] == "method_not_supported"


@pytest.mark.parametrize(
    "headers", [{"content-type": "text/plain"}, {"content-type": "multipart/form-data"}, {"content-encoding": "gzip"}]
)
def test_what_is_not_plain_json_is_415(gateway, headers):
    assert gateway.chat(headers=headers).status == 415


def test_a_missing_content_type_is_taken_for_json(gateway):
    assert gateway.chat(headers={"content-type": None}).status == 200


def test_a_body_at_the_limit_passes_and_one_byte_more_is_413(gateway):
    padding = 4 * MIB - len(chat_body(padding=""))
    assert gateway.chat(padding="x" * padding).status == 200
    answer = gateway.chat(padding="x" * (padding + 1))
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


def test_a_chunked_body_counts_like_any_other(gateway):
    def pieces(size):
        yield b'{"model":"m","messages":[],"padding":"'
        yield from (b"x" * 65536 for _ in range(size // 65536))
        yield b'"}'

    assert gateway.request("POST", "/v1/chat/completions", pieces(MIB)).status == 200
    assert gateway.request("POST", "/v1/chat/completions", pieces(6 * MIB)).status == 413


def test_a_declared_body_that_is_too_large_is_refused_before_it_is_sent(gateway):
    with gateway.connection() as connection:
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("authorization", f"Bearer {KEY}")
        connection.putheader("content-length", str(10**12))
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_a_body_shorter_than_declared_ends_in_408(hasty_gateway):
    began = time.monotonic()
    with hasty_gateway.connection() as connection:
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("authorization", f"Bearer {KEY}")
        connection.putheader("content-length", "100")
        connection.endheaders(b'{"model":"m"')
        response = connection.getresponse()
        assert response.status == 408
        assert json.loads(response.read())["error"]["code"] == "request_timeout"
    assert time.monotonic() - began < 2, "a client that stops sending must not hold a connection for ever"


def exchange_raw(port: int, data: bytes, timeout: float = 3.0) -> bytes:
    """What comes back until the server closes; the connection must not stay open."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(data)
        while part := connection.recv(65536):
            received += part
    return received


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/models HTTP/1.1\r\nhost x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=lambda data: repr(data)[2:32],
)
def test_what_is_not_http_is_400_and_closed(gateway, data):
    received = exchange_raw(gateway.port, data)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "invalid_http", "even this has the one error shape"


@pytest.mark.parametrize("header", [b"x: " + b"y" * 20_000, b"\r\n".join(b"x-%d: y" % number for number in range(200))])
def test_an_oversized_header_is_431(gateway, header):
    received = exchange_raw(gateway.port, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + header + b"\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 431 ")
    assert b"header_too_large" in received


def test_a_header_that_never_ends_is_cut_off(hasty_gateway):
    with socket.create_connection(("127.0.0.1", hasty_gateway.port), timeout=3) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-slow: ")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""


def test_an_offered_upgrade_is_declined(gateway):
    request = (
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-key: eA==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    assert exchange_raw(gateway.port, request).startswith(b"HTTP/1.1 200 "), "an offer may be ignored, RFC 9110 7.8"


def test_an_upgrade_that_would_swallow_the_body_is_refused_by_name(gateway):
    # Java's HttpClient offers h2c on every plain connection.
    body = chat_body()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
    received = exchange_raw(gateway.port, head + b"content-length: %d\r\n\r\n" % len(body) + body)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"upgrade_not_supported" in received, (
        "an empty body would be blamed otherwise, and nobody would find out why"
    )


@pytest.mark.parametrize("endless", [b"x-trailer: " + b"y" * 60_000 + b"\r\n", b"1;" + b"z" * 60_000 + b"\r\nx\r\n"])
def test_trailers_and_chunk_extensions_without_end_are_cut_off(gateway, endless):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        start = b"0\r\n" if endless.startswith(b"x-") else b""
        connection.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n" + start)
        with pytest.raises(ConnectionError):
            for _ in range(2000):
                connection.sendall(endless)


def random_bodies(count: int):
    """Noise, damaged requests, and requests with one field replaced; the same every run."""
    source = random.Random(20261124)  # noqa: S311
    values = [None, True, -1, 0, 1.5, 10**30, "", "m", "\u0000", "é", [], {}, [[]], {"a": {}}, "x" * 300]
    fields = ["model", "messages", "stream", "max_tokens", "n", "stream_options", "cache_salt", "\u0000", "x"]
    whole = chat_body(max_tokens=3, stream_options={"include_usage": True}, cache_salt="x")
    for number in range(count):
        kind = number % 4
        if kind == 0:
            yield source.randbytes(source.randrange(200))
        elif kind == 1:
            damaged = bytearray(whole)
            for _ in range(source.randrange(1, 4)):
                damaged[source.randrange(len(damaged))] = source.randrange(256)
            yield bytes(damaged)
        elif kind == 2:
            yield whole[: source.randrange(len(whole))] + source.choice([b"", b"}", b"\x00", b"]}"])
        else:
            body = {"model": "m", "messages": []}
            for _ in range(source.randrange(1, 4)):
                body[source.choice(fields)] = source.choice(values)
            yield json.dumps(body).encode()


LAST_CHUNK = b"\r\n0\r\n\r\n"


def first_answer(received: bytes) -> tuple[int, bytes, bytes] | None:
    """Status and body of the first whole answer, and what follows it; None while it is not whole."""
    head, separator, rest = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" in head:
        end = rest.find(LAST_CHUNK)
        return None if end < 0 else (status, b"[]", rest[end + len(LAST_CHUNK) :])
    length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    return None if len(rest) < length else (status, rest[:length], rest[length:])


def pipelined(connection: socket.socket, bodies: list[bytes]) -> list[tuple[int, bytes]]:
    """Status and body of every answer, all requests sent at once."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: "
    connection.sendall(b"".join(head.encode() + b"%d\r\n\r\n" % len(body) + body for body in bodies))
    answers = []
    received = b""
    while len(answers) < len(bodies):
        if answer := first_answer(received):
            answers.append(answer[:2])
            received = answer[2]
        else:
            part = connection.recv(65536)
            assert part, "the gateway closed a connection on a body that it should have refused"
            received += part
    return answers


def test_ten_thousand_random_bodies_cause_no_failure_of_ours(gateway):
    statuses: Counter[int] = Counter()
    # One connection after another: at the end of each, everything on it has been answered in order.
    bodies = list(random_bodies(10_000))
    for start in range(0, len(bodies), 50):
        batch = bodies[start : start + 50]
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
            for body, (status, answer) in zip(batch, pipelined(connection, batch), strict=True):
                statuses[status] += 1
                assert status < 500, f"{status} for {body!r}"
                json.loads(answer)
    assert statuses.keys() <= {200, 400, 404}
    assert statuses[200] > 500, "some must reach the engine, or the others prove little"
    assert alive(gateway.process.pid)
    assert gateway.inflight() == 0, "nothing is left hanging"

"""What crosses the gateway: allow-lists both ways, and a salt that no caller chooses."""

from gateway.gateway_process import KEY, fresh_id

TO_ENGINE = {"host", "content-type", "content-length", "accept", "x-request-id", "traceparent"}
TO_CLIENT = {"date", "content-type", "content-length", "x-request-id", "traceparent"}


def test_an_engine_sees_only_the_allowed_headers(gateway, engine):
    request_id = fresh_id()
    gateway.chat(
        headers={
            "x-request-id": request_id,
            "cookie": "a=b",
            "x-api-key": "k",
            "x-secret": "s",
            "proxy-authorization": "Basic eA==",
            "x-forwarded-for": "1.2.3.4",
            "forwarded": "for=1.2.3.4",
            "te": "trailers",
            "connection": "keep-alive, x-secret",
            "openai-organization": "o",
        }
    )
    (seen,) = engine.asked_with(request_id)
    assert seen.headers.keys() == TO_ENGINE, "a key or a cookie must not end in an engine's log"
    assert KEY not in str(seen.headers)


def test_a_client_sees_only_the_allowed_headers(gateway):
    script = [["whole", 200, {"choices": []}, {"server": "uvicorn", "set-cookie": "a=b", "x-internal": "10.0.0.1"}]]
    assert gateway.chat(script=script).headers.keys() == TO_CLIENT


def test_a_strange_content_type_of_an_engine_is_not_passed_on(gateway):
    script = [["whole", 200, {"choices": []}, {"content-type": 'text/html; x="<script>"'}]]
    assert gateway.chat(script=script).headers["content-type"] == "application/json"


def test_tracestate_goes_on_only_with_the_trace_it_belongs_to(gateway, engine):
    with_parent, without = fresh_id(), fresh_id()
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    gateway.chat(headers={"x-request-id": with_parent, "traceparent": parent, "tracestate": "a=1"})
    gateway.chat(headers={"x-request-id": without, "tracestate": "a=1"})
    assert engine.asked_with(with_parent)[0].headers["tracestate"] == "a=1"
    assert "tracestate" not in engine.asked_with(without)[0].headers


def test_the_engine_sees_the_tenants_salt_whatever_the_client_sent(gateway, engine):
    ids = [fresh_id() for _ in range(3)]
    gateway.chat(headers={"x-request-id": ids[0]})
    gateway.chat(headers={"x-request-id": ids[1]}, cache_salt="of another tenant")
    gateway.chat(headers={"x-request-id": ids[2]}, cache_salt=None, stream=True)
    salts = {engine.asked_with(request_id)[0].json["cache_salt"] for request_id in ids}
    assert len(salts) == 1, "a chosen salt lets one tenant time what another has in the prefix cache"
    assert "acme" not in salts.pop(), "an engine need not know tenants' names"

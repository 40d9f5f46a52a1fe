"""The choice of a replica, and what is believed of DNS."""

import asyncio
import socket
from collections import Counter

import pytest

from services.gateway.config import Model, Upstream
from services.gateway.discovery import Discovery
from services.gateway.replicas import ReplicaSet, RetryBudget


@pytest.fixture
def replicas() -> ReplicaSet:
    made = ReplicaSet("m", ("/x",), max_inflight=3)
    made.update(["a:1", "b:1", "c:1"])
    return made


def by_address(replicas: ReplicaSet) -> dict:
    return {replica.address: replica for replica in replicas.all()}


def test_the_least_busy_replica_is_chosen(replicas):
    known = by_address(replicas)
    known["a:1"].inflight, known["b:1"].inflight, known["c:1"].inflight = 2, 1, 2
    assert replicas.choose() is known["b:1"]
    assert replicas.choose([known["b:1"]]) is not known["b:1"], "a second attempt goes elsewhere"


def test_equals_share_evenly(replicas):
    chosen = Counter(replicas.choose().address for _ in range(600))
    assert min(chosen.values()) > 120, "without chance every gateway would send its first request to the same replica"


def test_a_replica_that_could_not_be_connected_to_is_avoided_while_there_is_another(replicas):
    known = by_address(replicas)
    known["b:1"].inflight = known["c:1"].inflight = 2
    replicas.connect_failed(known["a:1"])
    chosen = {replicas.choose().address for _ in range(50)}
    assert chosen == {"b:1", "c:1"}, "a dead replica is idle, and would draw every request"
    assert not replicas.is_healthy(known["a:1"])
    replicas.update(["a:1"])
    assert replicas.choose() is known["a:1"], "better a try than a refusal"


def test_a_full_replica_is_not_chosen(replicas):
    for replica in replicas.all():
        replica.inflight = 3
    assert replicas.choose() is None


def test_a_replica_that_stays_keeps_its_count_and_one_that_leaves_finishes_its_work(replicas):
    known = by_address(replicas)
    known["a:1"].inflight = known["b:1"].inflight = 1
    assert replicas.update(["b:1", "d:1"])
    assert by_address(replicas)["b:1"] is known["b:1"]
    assert known["a:1"] in replicas.all(), "its requests are still under way and must be seen"
    assert not replicas.is_healthy(known["a:1"])
    known["a:1"].inflight = 0
    assert known["a:1"] not in replicas.all(), "a pod long gone must leave no series behind"
    assert not replicas.update(["d:1", "b:1"])


def test_retries_are_bounded_to_a_share_of_requests():
    budget = RetryBudget(share=0.1, burst=2)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(11):
        budget.earn()
    assert [budget.spend() for _ in range(2)] == [True, False], "an outage must not double its own load"


class Silent:
    def info(self, *_: object, **__: object) -> None: ...

    warning = info


def test_dns_trouble_keeps_the_last_known_and_absence_is_believed_the_third_time(monkeypatch):
    absent = socket.gaierror(socket.EAI_NONAME, "no such name")
    trouble = socket.gaierror(socket.EAI_AGAIN, "try again")
    answers = [["10.0.0.1", "10.0.0.2"], trouble, absent, absent, ["10.0.0.2", "fd00::1"], absent, absent, absent]
    known = []

    async def run() -> None:
        replicas = ReplicaSet("m", (), max_inflight=1)
        discovery = Discovery(Model(max_model_len=1, upstream=Upstream(dns="engine", port=8000)), replicas, Silent())
        remaining = iter(answers)

        async def lookup(*_: object, **__: object) -> list:
            answer = next(remaining)
            if isinstance(answer, Exception):
                raise answer
            return [(0, 0, 0, "", (address, 8000)) for address in answer]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
        for _ in answers:
            await discovery.resolve_once()
            known.append({replica.address for replica in replicas.all()})

    asyncio.run(run())
    first, second = {"10.0.0.1:8000", "10.0.0.2:8000"}, {"10.0.0.2:8000", "[fd00::1]:8000"}
    assert known == [first, first, first, first, second, second, second, set()]


def test_a_name_that_does_not_exist_yet_makes_a_ready_gateway_without_replicas(monkeypatch):
    async def run() -> ReplicaSet:
        replicas = ReplicaSet("m", (), max_inflight=1)
        upstream = Upstream(dns="no-such-name.invalid")
        await Discovery(Model(max_model_len=1, upstream=upstream), replicas, Silent()).resolve_once()
        return replicas

    replicas = asyncio.run(run())
    assert len(replicas) == 0

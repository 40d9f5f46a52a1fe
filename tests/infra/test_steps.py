"""Steps run as early as they may, compiles one at a time, and a failure stops what comes after."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from infra.errors import MachineError
from infra.local.lock import exclusive
from infra.local.steps import Graph, Progress, Step


class Silent:
    def begin(self, progress: list[Progress]) -> None: ...
    def changed(self, progress: Progress) -> None: ...
    def end(self) -> None: ...


def graph(*steps: Step) -> Graph:
    made = Graph()
    made.add(steps)
    return made


def test_a_step_waits_for_what_it_needs():
    order: list[str] = []

    def step(name: str, *needs: str) -> Step:
        return Step(name, name, lambda _: bool(order.append(name)), needs)

    graph(step("c", "b"), step("b", "a"), step("a")).run(Silent())
    assert order == ["a", "b", "c"]


def test_compiles_run_one_at_a_time_and_others_beside_them():
    running, most = set(), []
    beside = threading.Event()

    def compile_it(name: str) -> Step:
        def run(_):
            running.add(name)
            most.append(len(running))
            assert beside.wait(5), "what does not compile runs beside what does"
            running.discard(name)
            return True

        return Step(name, name, run, compiles=True)

    graph(compile_it("a"), compile_it("b"), Step("c", "c", lambda _: beside.set() or True)).run(Silent())
    assert max(most) == 1


def test_a_failure_lets_running_steps_end_and_starts_no_more():
    ended, started = [], []

    def slow(_):
        time.sleep(0.2)
        ended.append("slow")
        return True

    def fail(_):
        raise RuntimeError("no")

    steps = graph(
        Step("slow", "slow", slow),
        Step("fail", "fail", fail),
        Step("after", "after", lambda _: bool(started.append("after")), ("slow",)),
    )
    with pytest.raises(RuntimeError, match="no"):
        steps.run(Silent())
    assert ended == ["slow"]
    assert started == []


def test_progress_says_what_was_done_and_what_was_there():
    done = graph(Step("a", "a", lambda _: True), Step("b", "b", lambda _: False)).run(Silent())
    assert [item.changed for item in done] == [True, False]


def test_a_need_that_nobody_meets_is_an_error_of_the_program():
    with pytest.raises(ValueError, match="needed but not defined: nobody"):
        graph(Step("a", "a", lambda _: True, ("nobody",))).run(Silent())


def test_of_two_compiles_that_may_start_the_first_in_the_order_given_does():
    order: list[str] = []
    fetched = threading.Event()

    def step(name: str, *needs: str) -> Step:
        return Step(name, name, lambda _: bool(order.append(name)), needs, compiles=True)

    def begin(_):
        assert fetched.wait(5)
        return True

    graph(
        Step("fetch", "fetch", lambda _: fetched.set() or True),
        step("urgent", "fetch"),
        Step("early", "early", begin, compiles=True),
        step("late"),
    ).run(Silent())
    assert order == ["urgent", "late"], "what was ready first waits for what matters more"


INTERRUPTED = """
import subprocess, sys
from infra.errors import InterruptedWorkError
from infra.errors import MachineError
from infra.local.lock import exclusive
from infra.local.steps import Graph, Step

class Silent:
    def begin(self, progress): print("begun", flush=True)
    def changed(self, progress): ...
    def end(self): ...

def sleep(_):
    return subprocess.run(["sleep", "61"]).returncode == 0

def late(_):
    print("late ran", flush=True)
    return True

graph = Graph()
graph.add([Step("sleep", "sleep", sleep, compiles=True), Step("late", "late", late, compiles=True)])
try:
    graph.run(Silent())
except InterruptedWorkError:
    print("interrupted", flush=True)
"""


def test_an_interruption_ends_what_runs_and_starts_no_more():
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        time.sleep(0.5)
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        rest = child.stdout.read()
        child.wait(30)
    assert rest == "interrupted\n", "the next compile is not started"
    assert time.monotonic() - began < 10, "nobody waits for what was to run a minute"


def test_one_llmp_at_a_time_works_on_a_folder(tmp_path):
    with exclusive(tmp_path):
        with pytest.raises(MachineError, match="another llmp is at work") as caught, exclusive(tmp_path):
            pass
        assert "pid" in str(caught.value)
    with exclusive(tmp_path):
        pass  # free again

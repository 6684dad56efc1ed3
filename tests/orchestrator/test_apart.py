import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hpsearch.orchestrator.apart import Ended, Limits, Nursery, anonymous_memory, memory_of_family, nursery_of_thread

NO_LIMITS = Limits()
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def nursery():
    one = Nursery()
    one.share(np.arange(5))
    yield one
    one.close()


def call(nursery, function, *arguments, limits=NO_LIMITS, should_stop=lambda: False):
    return nursery.call(function, *arguments, limits=limits, should_stop=should_stop)


def plus(shared, number):
    return shared + number, os.getpid()


def fail(shared):
    raise ArithmeticError("so it goes")


def take_memory(shared, megabytes, where):
    """Holds memory: here, in a child that was forked, or in one that was started."""
    if where == "forked" and os.fork() > 0:
        os.wait()
    elif where == "started":
        subprocess.run([sys.executable, "-c", f"x = b'1' * {megabytes} * 10**6; import time; time.sleep(60)"])
    held = np.ones(megabytes * 10**6, dtype=np.uint8)
    time.sleep(60)
    return held.sum()


def leave(shared, code):
    os._exit(code)


def leave_a_child(shared, path):
    """A grandchild, which holds the pipe open, outlives its parent."""
    if (child := os.fork()) == 0:
        time.sleep(60)
    Path(path).write_text(str(child))
    os._exit(5)


def be_killed(shared, number):
    os.kill(os.getpid(), number)


def write_pid_and_sleep(shared, path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_each_call_has_a_process_of_its_own_and_what_is_shared(nursery):
    (first, one), (second, other) = (call(nursery, plus, number) for number in (1, 10))
    assert first.tolist() == [1, 2, 3, 4, 5] and second.tolist() == [10, 11, 12, 13, 14]
    assert len({one, other, os.getpid()}) == 3


def test_functions_and_results_of_the_callers_own_making_travel(nursery):
    assert call(nursery, lambda shared: lambda: shared.sum() + 1)() == 11


def test_large_results_come_back(nursery):
    assert call(nursery, lambda shared: np.ones(10**7)).sum() == 10**7


def test_an_error_is_raised_here(nursery):
    with pytest.raises(ArithmeticError, match="so it goes"):
        call(nursery, fail)


def test_a_result_that_cannot_travel_is_an_error(nursery):
    with pytest.raises(TypeError, match="pickle"):
        call(nursery, lambda shared: threading.Lock())


def test_what_takes_too_long_is_ended(nursery):
    began = time.monotonic()
    assert call(nursery, lambda shared: time.sleep(60), limits=Limits(seconds=0.2)) == Ended("seconds")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("where", ["here", "forked", "started"])
def test_what_takes_too_much_memory_is_ended(nursery, where):
    limits = Limits(seconds=30, memory=150)
    assert call(nursery, take_memory, 250, where, limits=limits) == Ended("memory")


def test_what_takes_less_is_not(nursery):
    assert call(nursery, lambda shared: len(b"1" * 50 * 10**6), limits=Limits(30, memory=150)) == 50 * 10**6


def test_a_process_that_leaves_or_is_killed_says_how(nursery):
    assert call(nursery, leave, 3) == Ended("its process ended with exit code 3")
    assert call(nursery, be_killed, signal.SIGSEGV) == Ended("its process was ended by SIGSEGV")
    assert "memory runs out" in call(nursery, be_killed, signal.SIGKILL).reason
    assert call(nursery, plus, 0)[0].sum() == 10


def test_nothing_is_left_of_a_family(nursery, tmp_path):
    assert call(nursery, leave_a_child, str(tmp_path / "pid")) == Ended("its process ended with exit code 5")
    wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_a_child_ends_when_it_should_stop(tmp_path):
    nursery, file = Nursery(), tmp_path / "pid"
    with pytest.raises(InterruptedError):
        call(nursery, write_pid_and_sleep, str(file), should_stop=lambda: file.exists() and file.read_text() != "")
    assert nursery.is_closed
    wait_until(lambda: not is_alive(int(file.read_text())))


CALLER = """
import os, sys, time
from pathlib import Path
from hpsearch.orchestrator.apart import Limits, Nursery
nursery = Nursery()
nursery.share(sys.argv[1])
work = lambda path: [Path(path).write_text(str(os.getpid())), time.sleep(60)]
nursery.call(work, limits=Limits(), should_stop=lambda: False)
"""


def test_a_child_ends_when_its_caller_is_killed(tmp_path):
    file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", CALLER, str(file)], cwd=ROOT) as caller:
        wait_until(lambda: file.exists() and file.read_text() != "")
        assert is_alive(int(file.read_text()))
        caller.kill()
    wait_until(lambda: not is_alive(int(file.read_text())))


def test_a_nursery_that_has_died_says_so(nursery):
    dead = Nursery()
    dead.share(None)
    assert call(dead, lambda shared: 1) == 1
    with pytest.raises(RuntimeError, match="has died"):
        call(dead, lambda shared: os.kill(os.getppid(), signal.SIGKILL) or time.sleep(1))
    assert dead.is_closed


def test_a_thread_keeps_its_nursery_and_its_end_is_the_nurserys():
    found = []

    def work():
        found.extend([nursery_of_thread(), nursery_of_thread()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    first, second = found
    assert first is second and not first.is_closed
    process = first._end.peek()[2][1]
    found.clear()
    del first, second
    assert process.poll() is not None


def test_memory_of_a_family_counts_children():
    before = memory_of_family(os.getpid())
    code = "x = b'1' * 10**8; print(1, flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        child.stdout.readline()
        assert memory_of_family(os.getpid()) - before > 9e7
        child.communicate(b"\n")
    assert anonymous_memory(child.pid) == 0

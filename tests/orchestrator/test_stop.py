import os
import pickle
import signal
import threading

import pytest

from hpsearch.orchestrator.stop import Stop


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_timeout_is_a_deadline():
    assert not Stop().requested()
    assert not Stop(timeout=1000).requested()
    assert Stop(timeout=0).requested() and Stop(timeout=0).timed_out()


def test_the_first_ctrl_c_asks_and_the_second_raises():
    before = signal.getsignal(signal.SIGINT)
    stop = Stop()
    with stop.on_interrupt():
        interrupt()
        assert stop.requested() and not stop.timed_out()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_ends_the_wait_for_worker_processes_at_once():
    stop = Stop()
    copy = pickle.loads(pickle.dumps(stop))
    with stop.on_interrupt(), pytest.raises(KeyboardInterrupt), stop.waiting():
        interrupt()
    assert stop.interrupted and not copy.interrupted


def test_ctrl_c_before_the_wait_ends_it_too():
    stop = Stop()
    pickle.dumps(stop)
    with stop.on_interrupt():
        interrupt()
        with pytest.raises(KeyboardInterrupt), stop.waiting():
            pass


def test_while_threads_work_ctrl_c_waits_for_them():
    stop = Stop()
    with stop.on_interrupt(), stop.waiting():
        interrupt()
    assert stop.interrupted


def test_elsewhere_than_in_the_main_thread_ctrl_c_keeps_its_meaning():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with Stop().on_interrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_copy_in_a_worker_process_keeps_the_deadline():
    assert pickle.loads(pickle.dumps(Stop(timeout=0))).requested()
    assert not pickle.loads(pickle.dumps(Stop(timeout=1000))).requested()

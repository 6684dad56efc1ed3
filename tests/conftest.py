import pytest
from hypothesis import settings
from joblib.externals.loky import reusable_executor

# kernels are compiled and machines are busy: how long one example takes says nothing
settings.register_profile("hpsearch", deadline=None)
settings.load_profile("hpsearch")


@pytest.fixture(autouse=True)
def no_idle_worker_processes():
    """joblib keeps idle workers for the next one who asks. Here that is another test, and they may just be leaving."""
    yield
    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(wait=True, kill_workers=True)

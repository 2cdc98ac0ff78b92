import warnings

import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns of its own code when it is imported
    import torch._inductor.compile_fx


@pytest.fixture(autouse=True)
def _afresh():
    """Graphs of one test do not stand in for those of another."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    yield
    torch._dynamo.reset()

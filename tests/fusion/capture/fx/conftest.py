import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _afresh():
    """Graphs of one test do not stand in for those of another."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    yield
    torch._dynamo.reset()

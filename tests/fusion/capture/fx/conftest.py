import warnings

import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns of its own code when it is imported
    import torch._inductor.compile_fx

    from workbench.fusion.capture.fx import worth


@pytest.fixture
def small():
    """Graphs that are not worth the way into them are left to torch, as they are for users."""


@pytest.fixture(autouse=True)
def _afresh(request, monkeypatch):
    """Graphs of one test do not stand in for those of another; small ones are compiled too, but where `small` asks."""
    if "small" not in request.fixturenames:
        for name in ("INFERENCE_MS", "TRAINING_MS"):
            monkeypatch.setattr(worth, name, -1e9)
    torch._dynamo.reset()
    torch.manual_seed(0)
    yield
    torch._dynamo.reset()

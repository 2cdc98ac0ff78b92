import copy

import pytest
import torch

from tests.fusion.capture.fx.models import BACKEND, Convolutional, Interest, Transformer, assert_same, mlp

MODELS = {
    "mlp": (mlp, lambda: (torch.randn(32, 16),)),
    "convolutional": (Convolutional, lambda: (torch.randn(4, 3, 16, 16),)),
    "transformer": (Transformer, lambda: (torch.randint(0, 50, (3, 12)),)),
    "interest": (Interest, lambda: (torch.randn(6, 8, 12), torch.randn(8, 12))),
}


@pytest.mark.parametrize("name", MODELS)
def test_forward_and_backward(name):
    make, inputs = MODELS[name]
    assert_same(make(), *inputs(), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_twenty_steps_of_training_with_a_compiled_optimizer(name):
    make, inputs = MODELS[name]
    plain = make()
    ours = copy.deepcopy(plain)
    batches = [inputs() for _ in range(4)]
    losses = []
    for model, backend in ((plain, None), (ours, BACKEND)):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
        call = model if backend is None else torch.compile(model, backend=backend)
        step = optimizer.step if backend is None else torch.compile(optimizer.step, backend=backend)
        for k in range(20):
            optimizer.zero_grad()
            out = call(*batches[k % 4])
            loss = out.square().mean() + out.sin().sum() / 100
            loss.backward()
            step()
            losses.append(loss.detach())
    torch.testing.assert_close(losses[20:], losses[:20], rtol=2e-3, atol=1e-4)
    for one, two in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("kind", ["AdamW", "SGD", "RMSprop"])
def test_an_optimizer_over_many_tensors_writes_into_them(kind, foreach):
    options = {"lr": 1e-2, "foreach": foreach, **({"momentum": 0.9} if kind != "AdamW" else {"amsgrad": True})}
    plain = [torch.nn.Parameter(torch.randn(3 + k, 5)) for k in range(12)]
    ours = [copy.deepcopy(each) for each in plain]
    addresses = [each.data_ptr() for each in ours]
    steps = [getattr(torch.optim, kind)(some, **options).step for some in (plain, ours)]
    steps[1] = torch.compile(steps[1], backend=BACKEND)
    for _ in range(4):
        for one, two in zip(plain, ours, strict=True):
            one.grad = torch.randn_like(one)
            two.grad = one.grad.clone()
        steps[0]()
        steps[1]()
    for one, two in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    assert addresses == [each.data_ptr() for each in ours]

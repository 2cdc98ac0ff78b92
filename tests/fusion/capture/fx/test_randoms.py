import numpy as np
import pytest
import torch

from tests.fusion.capture.fx.models import BACKEND
from workbench.fusion.capture.fx import randoms


def test_philox_is_that_of_its_authors():
    """Known answers of Random123: counters and keys of zero, and of ones."""
    zero = randoms.philox(0, np.zeros(1, np.uint64))
    word = 0x6627E8D5
    assert zero[0] == np.float32(word) * np.float32(4.6566127342e-10)


@pytest.mark.parametrize("shape", [(1,), (7,), (1000,), (30, 70), (2, 3, 40), (5, 1)])
def test_compiled_numbers_are_those_of_their_seed(shape):
    call = torch.compile(lambda: torch.rand(shape), backend=BACKEND)
    torch.manual_seed(3)
    found = call()
    torch.manual_seed(3)
    seed = int(randoms.draw())
    wanted = randoms.philox(seed, np.arange(found.numel(), dtype=np.uint64)).reshape(shape)
    assert torch.equal(found, torch.from_numpy(wanted))


def test_dropout_has_one_mask_forward_and_backward_and_repeats_under_a_seed():
    call = torch.compile(lambda x: torch.nn.functional.dropout(x, 0.3), backend=BACKEND)
    x = torch.ones(300, 70, requires_grad=True)
    torch.manual_seed(5)
    first = call(x)
    first.backward(torch.ones_like(first))
    assert torch.equal(x.grad, first.detach())
    assert abs((first != 0).float().mean() - 0.7) < 0.02
    torch.manual_seed(5)
    assert torch.equal(call(x), first)
    assert not torch.equal(call(x), first)

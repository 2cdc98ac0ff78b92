import pytest
import torch

from tests.fusion.capture.fx.models import assert_same
from workbench.fusion.capture.fx.graphs import Graph
from workbench.fusion.capture.fx.plans import traced
from workbench.fusion.capture.fx.regions import cut

aten = torch.ops.aten


def padded(x, k, many=3, dim=0):
    return torch.select_scatter(torch.zeros(*x.shape[:dim], many, *x.shape[dim:]), x, dim, k)


def thirds(x, y, z):
    return padded(x, 0) + padded(y, 1) + padded(z, 2)


def targets(function, inputs):
    return [node.target for step in cut(traced(function, inputs)).steps for node in getattr(step, "nodes", [step])]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_a_sum_of_parts_at_all_places_is_one_of_them_joined(order, dim):
    inputs = [torch.randn(4, 5) for _ in range(3)]

    def function(*some):
        return sum([padded(some[k], k, dim=dim) for k in order[1:]], padded(some[order[0]], order[0], dim=dim)) * 2

    found = targets(function, inputs)
    assert aten.cat.default in found
    assert not {aten.select_scatter.default, aten.add.Tensor} & set(found)
    torch.testing.assert_close(Graph(traced(function, inputs)).run(list(inputs)), function(*inputs))


OTHERS = {
    "a place is left out": lambda x, y, z: padded(x, 0) + padded(y, 2),
    "two at one place": lambda x, y, z: padded(x, 0) + padded(y, 1) + padded(z, 1),
    "not of zeros": lambda x, y, z: torch.select_scatter(torch.ones(2, 4, 5), x, 0, 0) + padded(y, 1, 2),
    "along two dimensions": lambda x, y, z: padded(x[:, :4], 0, 4) + padded(y[:, :4], 1, 4, dim=1),
    "a part is needed by itself": lambda x, y, z: (lambda p: (p + padded(y, 1, 2), p * 2))(padded(x, 0, 2)),
    "twice as much of one": lambda x, y, z: torch.add(padded(x, 0, 2), padded(y, 1, 2), alpha=2),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_sums_stay(name):
    inputs = [torch.randn(4, 5) for _ in range(3)]
    graph = traced(OTHERS[name], inputs)
    assert aten.cat.default not in targets(OTHERS[name], inputs)
    torch.testing.assert_close(Graph(graph).run(list(inputs)), OTHERS[name](*inputs))


def test_what_eager_code_runs_is_counted_as_before():
    inputs = [torch.randn(64, 64) for _ in range(3)]
    graph = Graph(traced(thirds, inputs))
    assert graph.plan.kernels_before == 5  # three parts put into place, two additions


def test_gradients_of_what_was_cut_from_one_tensor():
    class Cut(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(16, 48)

        def forward(self, x):
            q, k, v = self.layer(x).unflatten(-1, (3, 16)).unsqueeze(0).transpose(0, -2).squeeze(-2).contiguous()
            return torch.tanh(q) * k + v

    assert_same(Cut(), torch.randn(4, 6, 16))

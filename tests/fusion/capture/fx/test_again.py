import threading

import pytest
import torch
from torch.utils._pytree import tree_leaves

from workbench.fusion.capture.fx.graphs import Graph
from workbench.fusion.capture.fx.plans import traced
from workbench.fusion.capture.fx.randoms import numbered

FUNCTIONS = {
    "rows and columns": (lambda x: (torch.softmax(x, 1), x.sum(0), x.mean(), x.amax((0, 1))), [(33, 40)]),
    "several chunks": (lambda x, y: ((x * y).sum(0), x.exp().sum(1), x - x.mean(), x.std(0)), [(700, 300)] * 2),
    "channels": (lambda x: (x.sum((0, 2, 3)), x - x.mean((0, 2, 3), keepdim=True)), [(4, 8, 12, 12)]),
    "joined": (lambda x, y: torch.cat([x, y.t(), x * 2]).cumsum(0), [(6, 5), (5, 7)]),
    "turned and repeated": (lambda x: (x.t().contiguous(), x.expand(3, 8, 9).clone(), x.t() + 1), [(8, 9)]),
    "given back": (lambda x: (x.clone(), torch.ones(3, 4), x + 0, (x + 1, x + 1)), [(5,)]),
    "seen otherwise": (lambda x: x.permute(1, 0, 2).reshape(6, 20).sum(1), [(4, 6, 5)]),
    "single values": (lambda x, y: x.sum() / y, [(50,), ()]),
    "positions": (lambda x: (x.argmax(1), x > x.mean(), x.max(0)), [(9, 30)]),
    "nothing": (lambda x: (x + 1, x.sum(0)), [(0, 4)]),
}


def inputs_of(shapes, dtype):
    return [torch.randn(shape).to(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_second_run_and_later_ones_give_what_the_first_gives(name, dtype):
    function, shapes = FUNCTIONS[name]
    some = inputs_of(shapes, dtype)
    graph = Graph(numbered(traced(function, some)))
    graph.run(list(some))
    for _ in range(2):
        some = inputs_of(shapes, dtype)
        wanted = Graph(numbered(traced(function, some))).run(list(some))  # its first run
        kept = [graph.run(list(some)), graph.run(inputs_of(shapes, dtype))]
        for one, two in zip(tree_leaves(kept[0]), tree_leaves(wanted), strict=True):
            assert (one.dtype, one.shape, one.stride()) == (two.dtype, two.shape, two.stride())
            assert torch.equal(one, two)


def test_all_but_what_cannot_be_known_before_runs_so():
    for name, (function, shapes) in FUNCTIONS.items():
        some = inputs_of(shapes, torch.float32)
        graph = Graph(numbered(traced(function, some)))
        graph.run(list(some))
        known = [call.last.again is not None for call in graph.calls.values()]
        assert known and all(known) == (name != "nothing"), name


def test_inputs_that_lie_otherwise_or_have_another_length_are_seen():
    graph = Graph(numbered(traced(lambda x: x.exp().sum(1), [torch.randn(6, 6)])))
    for x in (torch.randn(6, 6), torch.randn(6, 6).t(), torch.randn(6, 12)[:, ::2], torch.randn(1, 6).expand(6, 6)) * 2:
        torch.testing.assert_close(graph.run([x]), x.exp().sum(1))


@pytest.mark.parametrize("shapes", [[(40, 64), (64, 24)], [(64, 24), (40, 64)], [(24, 40), (40, 24)]])
def test_a_plan_that_was_made_for_other_lengths_gives_results_as_long_as_their_inputs(shapes):
    for shape in shapes:  # a length of one is another dimension's in the other
        x = torch.randn(shape)
        graph = Graph(traced(lambda x: (torch.softmax(x, 1), x.t().exp(), x.sum(1)), [x]))
        for _ in range(3):
            found = graph.run([x])
            for one, two in zip(found, (torch.softmax(x, 1), x.t().exp(), x.sum(1)), strict=True):
                torch.testing.assert_close(one, two)


def test_values_that_memory_does_not_hold_are_resolved():
    graph = Graph(numbered(traced(lambda x: x.exp() + 1, [torch.randn(6)])))
    for _ in range(3):
        negated = torch._neg_view(torch.randn(6))
        torch.testing.assert_close(graph.run([negated]), negated.exp() + 1)


def test_several_threads_run_one_graph():
    graph = Graph(numbered(traced(lambda x: (x.softmax(1), x.sum(0)), [torch.randn(64, 50)])))
    graph.run([torch.randn(64, 50)])
    wrong = []

    def work():
        for _ in range(50):
            x = torch.randn(64, 50)
            one, two = graph.run([x])
            if not (torch.allclose(one, x.softmax(1), atol=1e-6) and torch.allclose(two, x.sum(0), atol=1e-4)):
                wrong.append(x)

    some = [threading.Thread(target=work) for _ in range(4)]
    for each in some:
        each.start()
    for each in some:
        each.join()
    assert not wrong

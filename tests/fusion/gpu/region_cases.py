"""Regions of torch graphs on tensors, run by Triton's interpreter in a process of its own.

Run as a module it prints a JSON object: for each case what its test looks at.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import torch

from tests.fusion.gpu.compiling import compiled
from workbench.fusion.capture.fx.checking import EagerCall

CASES: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Add a case under its function's name."""
    CASES[function.__name__] = function
    return function


def error(found: Any, wanted: Any) -> float:
    """Return the largest difference of tensors, not a number counting as itself."""
    pairs = zip(*[[x] if isinstance(x, torch.Tensor) else list(x) for x in (found, wanted)], strict=True)
    worst = 0.0
    for one, two in pairs:
        assert one.shape == two.shape, (one.shape, two.shape)
        assert one.dtype == two.dtype
        same = (one == two) | (one.isnan() & two.isnan())
        far = torch.where(same, 0.0, (one.double() - two.double()).abs())
        worst = max(worst, float(far.max()) if far.numel() else 0.0)
    return worst


def both(function: Callable[..., Any], *inputs: Any) -> dict[str, Any]:
    """Return how far a function and its compiled form are apart, in what they give and in what they write."""
    made: list[Any] = []
    one, two = ([each.clone() for each in inputs] for _ in range(2))
    with torch.no_grad():
        found, wanted = compiled(function, made)(*one), function(*two)
    worst = max(error(found, wanted) if wanted is not None else 0.0, error(one, two))
    reasons = [row.reason for each in made for row in each.reasons]
    direct = sum(len(each.last.direct) for each in made)
    return {"error": worst, "regions": len(made), "reasons": reasons, "direct": direct}


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape)))


@case
def an_optimizer_writes_its_state() -> Any:
    def step(p: Any, m: Any, g: Any) -> None:
        m.mul_(0.9).add_(g, alpha=0.1)
        p.sub_(m * 0.01)

    return both(step, normal(40), normal(40), normal(40))


@case
def what_is_read_elsewhere_is_copied() -> Any:
    return both(lambda x: (x.copy_(x.t() + x.sum(0)), None)[1], normal(6, 6))


@case
def inputs_that_share_memory() -> Any:
    """The same region on tensors apart, and on two of which one lies on the other."""
    made: list[Any] = []

    def step(x: Any, y: Any) -> None:
        x.add_(y)

    with torch.no_grad():
        compiled(step, made)(normal(64), normal(64))
    [call] = made
    found = {"direct": len(call.last.direct)}
    for name, moved in (("apart", 128), ("overlapping", 16)):
        one, two = normal(256), normal(256)
        call(one[:64], one[moved : moved + 64])
        two[:64] += two[moved : moved + 64].clone()
        found[name] = error(one, two)
    return found


@case
def lengths_that_change() -> Any:
    """Functions for lengths of which none was there before: how many kernels there are for all of them."""

    def norm(x: Any, w: Any) -> Any:
        return torch.softmax(x * w, -1) / x.shape[0] + x.mean(1, keepdim=True)

    def several(x: Any, w: Any) -> Any:
        return torch.exp(x) * w, x.sin() + 1, (x * x).sum(1)

    found = {}
    for function in (norm, several):
        made: list[Any] = []
        run = compiled(function, made, dynamic=True)
        worst = 0.0
        for n in (5, 9, 33, 70, 128):
            x, w = normal(n, 24), normal(24)
            worst = max(worst, error(run(x, w), function(x, w)))
        texts = {each.text for call in made for form in call.forms.values() for each in form.program.sources}
        forms = [len(each.forms) for each in made]
        found[function.__name__] = {"error": worst, "regions": len(made), "forms": forms, "kernels": len(texts)}
    return found


@case
def tensors_without_elements() -> Any:
    found = both(lambda x: (torch.exp(x) + 1, x.sum(0), torch.softmax(x, 1)), normal(0, 5))
    made: list[Any] = []
    run = compiled(lambda x: torch.exp(x).sum(0), made, dynamic=True)
    run(normal(4, 3))
    [call] = made
    values = [0, torch.empty(0, 3)] if len(call.region.inputs) == 2 else [torch.empty(0, 3)]
    return {**found, "empty": call(*values)[0].tolist(), "listed": [row.reason for row in call.reasons]}


@case
def views_that_are_not_contiguous_or_overlap() -> Any:
    base = normal(6, 8)
    worst = []
    for view in (base.t(), base[::2, 1::3], base.flip(1)[:, 2:], torch.arange(10.0).as_strided((4, 5), (1, 1))):
        made: list[Any] = []
        found = compiled(lambda x: (x * 2 + x.sum(1, keepdim=True), x.cos().sum(0)), made)(view)
        worst.append(error(found, (view * 2 + view.sum(1, keepdim=True), view.cos().sum(0))))
    return worst


@case
def not_a_number_and_infinity() -> Any:
    x = torch.tensor([[0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e30, 1e-40]])
    return both(
        lambda x: (torch.relu(x), x.amax(1), x.clamp(-1, 1), torch.exp(x), x.sign(), x > 0, x.argmax(1), x.argmin(1)),
        x,
    )


@case
def memory_beyond_what_32_bits_reach() -> Any:
    """Few elements of an array that is longer than memory that was touched."""
    base = torch.empty(2**31 + 4096, dtype=torch.int8)
    far = base.as_strided((3, 8), (2**30, 1))
    far.copy_(torch.arange(24).reshape(3, 8))
    made: list[Any] = []
    found = compiled(lambda x: (x + 1, x.sum(1)), made)(far)
    return {"error": error(found, (far + 1, far.sum(1))), "long": "int64" in made[0].last.program.sources[0].text}


@case
def memory_that_is_not_there() -> Any:
    made: list[Any] = []
    x = normal(12)
    run = compiled(lambda x: (x.add_(1), x.exp().sum())[1], made)
    with torch.no_grad():
        run(x.clone())
    [call] = made
    one, two = x.clone(), x.clone()
    empty = torch.empty

    def none(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("no memory is left")

    torch.empty = none  # type: ignore[assignment]
    try:
        found = call(one)
    finally:
        torch.empty = empty
    wanted = EagerCall(call.region)(two)
    again = call(x.clone())
    return {
        "error": max(error(found, wanted), error(one, two)),
        "reasons": [row.reason for row in call.reasons],
        "again": error(again, wanted),
    }


@case
def a_plan_is_told() -> Any:
    made: list[Any] = []
    compiled(lambda x: torch.softmax(x, 1) + 1, made)(normal(8, 24))
    plan = made[0].plan()
    return {"kernels_before": plan.kernels_before, "launches": plan.launches, "text": plan.explain()}


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1")
    print(json.dumps({name: CASES[name]() for name in sys.argv[1:] or CASES}))

"""`%%fuse`: ordinary NumPy and pandas code, run as one compiled computation."""

from __future__ import annotations

from typing import Any

from workbench.engine.errors import Stopped
from workbench.notebook import display
from workbench.notebook.magics.base import Call, MagicSpec, Option, whole
from workbench.notebook.magics.python import compiled
from workbench.notebook.magics.running import bind

__all__ = ["DEVICES", "PEERS", "SPEC"]

EXAMPLE = """%%fuse --explain --compare numpy,polars
big = df[df.population > 500_000]
score = (big.population + 2*big.adult - 2000*big.robberies) / 1e5
score.clip(0.01, 0.02).sum()"""
#: those of `workbench.fusion`, which a completion must not import; a test holds them together
DEVICES = ("auto", "cpu", "cuda")
PEERS = ("numpy", "pandas", "numba", "polars", "jax", "inductor")
TEXTS = {"ir": "loop IR", "asm": "assembly", "triton": "Triton"}


def _threads(value: Any) -> int:
    found = whole(value)
    if found < 1:
        raise ValueError
    return found


NOTES = (
    "Names, tables and arrays are afterwards as if the cell had run plainly. What is fused are",
    "operations on the arrays, tables and tensors that the cell reads by name: they wait, and are",
    "computed in one go at its end, or where Python needs a value: if, float(), print(), .to_numpy().",
    "The line below the value says how many operations became how many kernels (compiled loops), how",
    "many bytes NumPy and pandas would have moved and how many were, and the time. What cannot be fused",
    "runs in NumPy or pandas, with a warning; --explain says why, line by line. The first run compiles,",
    "later ones find it stored. --device cuda without a GPU runs it on the CPU, and plans and compiles",
    "it for an H100: kernels, bytes, predicted times. -o NAME binds the CellResult: .value, .plan,",
    ".comparison, .names.",
)
OPTIONS = (
    Option("explain", "show the work before and after: kernels, bytes, times, what did not fuse", kind="flag"),
    Option("check", "compute it call by call too, and raise an error should the two differ", kind="flag"),
    Option("compare", f"race other engines on it: {', '.join(PEERS)}", kind="list", metavar="PEER",
           choices=lambda: PEERS),
    Option("device", "where it runs: auto (where its inputs are), cpu or cuda", default="auto",
           choices=lambda: DEVICES),
    Option("threads", "threads; by default as many as there are cores", convert=_threads, metavar="N",
           says="a number of threads, 1 or more", example="2"),
    Option("exact", "float sums correctly rounded: the same for any number of threads; slower", kind="flag"),
    Option("ir", "show the loops that were compiled, as text", kind="flag"),
    Option("asm", "show the processor's instructions that they became", kind="flag"),
    Option("triton", "show their Triton source, where they are for a GPU", kind="flag"),
)  # fmt: skip


def run(call: Call) -> Any:
    """Run the cell fused; its value is that of its last expression, and a line about the plan follows it."""
    __tracebackhide__ = True
    from workbench.fusion.capture.cell import run_prepared
    from workbench.fusion.capture.rewriting import prepared

    shell = display._shell()
    options = call.options
    code = compiled(shell, call.body, prepared)
    known = {key: options[key] for key in ("device", "threads", "exact", "check")}
    try:
        result = run_prepared(code, shell.user_ns, known, tuple(options["compare"] or ()))
    except Stopped:
        raise
    except KeyboardInterrupt:
        raise Stopped(
            "Stopped; what was written before stays, what was still waiting is dropped.",
            "Run the cell again; if it writes into its inputs, make those anew first.",
        ) from None
    bind(shell, call.out, result)
    if not call.quiet:
        _after(shell, result, options)
    return result.value


def _after(shell: Any, result: Any, options: dict[str, Any]) -> None:
    """Show the plan once the cell's value is shown."""
    from workbench.fusion.view import elsewhere, nothing_fused

    def show() -> None:
        shell.events.unregister("post_execute", show)
        if options["explain"]:
            display.publish(display.mimebundle(result))
        else:
            blocks = [{"kind": "summary", "text": result.plan.summary()}]
            blocks += elsewhere(result.plan, result.ran)
            blocks += nothing_fused(result.plan)
            if result.plan.max_error is not None:
                blocks.append({"kind": "note", "text": f"checked: largest error {result.plan.max_error:.2g}"})
            if result.comparison is not None:
                blocks.append({"kind": "table", "name": "peers", "frame": result.comparison})
            display.publish(display.blocks_bundle(blocks))
        for name, what in TEXTS.items():
            if options[name]:
                text = getattr(result.plan, name) or f"No {what}: nothing was compiled for that."
                display.publish(display.blocks_bundle([{"kind": "code", "language": name, "text": text}]))

    shell.events.register("post_execute", show)


SPEC = MagicSpec(
    name="fuse",
    summary="Run ordinary NumPy and pandas code as one compiled computation; the answer is the same.",
    call=run,
    example=EXAMPLE,
    options=OPTIONS,
    background=False,
    prepare=lambda line: line.partition("#")[0],
    binds=True,
    notes=NOTES,
)

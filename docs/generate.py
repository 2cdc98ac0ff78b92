"""The pages that are made from the code: usage of the magics, the API, the notebooks and the measured figures."""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

#: title of a part of the API, and the module whose `__all__` it lists
API = {
    "Sessions, fetching, reports": "workbench",
    "Videos": "workbench.video",
    "Outliers and differences": "workbench.anomaly",
    "Fusion": "workbench.fusion",
    "Training": "workbench.training",
    "Time to accuracy": "workbench.tta",
}

#: title of a page of figures by the stem of its file
RESULTS = {
    "video": "Videos",
    "video_accuracy": "Videos under an accuracy",
    "outliers": "Outliers",
    "fusion": "Fusion on the CPU",
    "fusion_torch": "Fusion of torch models on the CPU",
    "fusion_gpu": "Fusion for GPUs",
    "training": "Pipelined training",
    "training_chaos": "Training with lost workers",
    "training_overhead": "What redundancy costs",
    "training_replay": "Runs and their simulation",
    "training_spot": "Preemptible machines (simulated)",
    "tta": "Tracking",
    "tta_backtest": "Projections",
    "tta_mnist": "MNIST",
    "notebook": "The front: magics, reports, JupyterLab",
}

#: how a fact of the machine is written; others stand as they are
MACHINE = {"cores": "{} cores", "memory_gib": "{} GiB of memory", "python": "Python {}"}


def write(folder: Path) -> None:
    """Write all generated pages into an emptied folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in {**usages(), **dict(api()), **dict(figures())}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    for path in sorted((ROOT / "notebooks").iterdir()):
        if path.suffix in (".ipynb", ".py"):  # modules that notebooks import
            shutil.copy(path, notebooks)


def usages() -> dict[str, str]:
    """Return the usage text of each magic, by file name."""
    from IPython.core.interactiveshell import InteractiveShell

    from workbench.notebook import load, unload
    from workbench.notebook.magics.base import specs

    shell = InteractiveShell.instance()
    load(shell)
    try:
        return {f"usage/{name}.txt": spec.usage() for name, spec in specs().items()}
    finally:
        unload(shell)
        InteractiveShell.clear_instance()


def api() -> Iterator[tuple[str, str]]:
    """Yield a page for each part of the API: every public name, as a reader imports it, with its docstring."""
    for title, module in API.items():
        lines = [title, "=" * len(title), ""]
        package = importlib.import_module(module)
        for name in package.__all__:
            value = getattr(package, name)
            if module == "workbench" and getattr(value, "__module__", "").startswith(tuple(API.values())[1:]):
                continue  # a short name of what stands on its own page
            if inspect.isclass(value):
                lines += [f".. autoclass:: {module}.{name}", "   :members:", ""]
            elif inspect.isfunction(value) and not name.startswith("load_"):  # words of the video language are neither
                lines += [f".. autofunction:: {module}.{name}", ""]
        yield f"api/{module.rpartition('.')[2]}.rst", "\n".join(lines)


def figures() -> Iterator[tuple[str, str]]:
    """Yield a page for each file of `benchmarks/results`: every figure beside its target and its peer."""
    for stem, title in RESULTS.items():
        path = ROOT / "benchmarks" / "results" / f"{stem}.json"
        if path.exists():
            yield f"figures/{stem}.md", figure_page(title, json.loads(path.read_text(encoding="utf-8")))


def figure_page(title: str, result: dict[str, Any]) -> str:
    """Return the page of one result file."""
    rows = ["| figure | measured | target | | beside | note |", "|---|---:|---|---|---|---|"]
    for each in result["figures"]:
        verdict = {True: "met", False: "**missed**", None: ""}[each["met"]]
        beside = f"{each['peer']}: {shown(each['peer_value'])} ({shown(each['ratio'])} ×)" if each["ratio"] else ""
        cells = [each["name"], f"{shown(each['value'])} {each['unit']}", each["target"], verdict, beside, each["note"]]
        rows.append("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    judged = [each["met"] for each in result["figures"] if each["met"] is not None]
    counted = f"{sum(judged)} of {len(judged)} targets are met. " if judged else ""
    machine = ", ".join(MACHINE.get(key, "{}").format(shown(value)) for key, value in result["machine"].items()
                        if not isinstance(value, dict))  # fmt: skip
    return "\n".join([f"# {title}", "", f"{counted}Measured on: {machine}.", "", *rows, ""])


def shown(value: Any) -> str:
    """Return a number with four significant digits; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"

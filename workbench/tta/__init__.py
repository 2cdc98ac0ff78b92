"""Time to accuracy: watch a training run, repeat it, compare recipes, read the record.

Names are loaded on first use, so importing the subpackage costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.engine.lazy import attach

if TYPE_CHECKING:
    from workbench.tta.attribution import Attribution, attribute, scaling
    from workbench.tta.backtest import backtest
    from workbench.tta.comparison import Comparison, compare
    from workbench.tta.dawnbench_read import read_dawnbench
    from workbench.tta.dawnbench_rules import Problem
    from workbench.tta.dawnbench_validate import validate_dawnbench
    from workbench.tta.entries import Entries
    from workbench.tta.history import runs
    from workbench.tta.importers import read_csv, read_mlflow, read_mllog, read_tensorboard
    from workbench.tta.ladder import ladder
    from workbench.tta.leaderboard import leaderboard
    from workbench.tta.performance import Profile, profile
    from workbench.tta.price import Price
    from workbench.tta.problems import TTAWarning
    from workbench.tta.projection import Projection
    from workbench.tta.ranking import sensitivity
    from workbench.tta.rcp import RCP, olympic_mean, rcp_check
    from workbench.tta.repeat import repeat
    from workbench.tta.report import report
    from workbench.tta.run import Run
    from workbench.tta.runs import Runs
    from workbench.tta.status import Status, StopTraining
    from workbench.tta.tracker import Tracker

__all__ = [
    "RCP",
    "Attribution",
    "Comparison",
    "Entries",
    "Price",
    "Problem",
    "Profile",
    "Projection",
    "Run",
    "Runs",
    "Status",
    "StopTraining",
    "TTAWarning",
    "Tracker",
    "attribute",
    "backtest",
    "compare",
    "ladder",
    "leaderboard",
    "olympic_mean",
    "profile",
    "rcp_check",
    "read_csv",
    "read_dawnbench",
    "read_mlflow",
    "read_mllog",
    "read_tensorboard",
    "repeat",
    "report",
    "runs",
    "scaling",
    "sensitivity",
    "validate_dawnbench",
]

_LAZY = {
    "RCP": "workbench.tta.rcp",
    "Attribution": "workbench.tta.attribution",
    "Comparison": "workbench.tta.comparison",
    "Entries": "workbench.tta.entries",
    "Price": "workbench.tta.price",
    "Problem": "workbench.tta.dawnbench_rules",
    "Profile": "workbench.tta.performance",
    "Projection": "workbench.tta.projection",
    "Run": "workbench.tta.run",
    "Runs": "workbench.tta.runs",
    "Status": "workbench.tta.status",
    "StopTraining": "workbench.tta.status",
    "TTAWarning": "workbench.tta.problems",
    "Tracker": "workbench.tta.tracker",
    "attribute": "workbench.tta.attribution",
    "backtest": "workbench.tta.backtest",
    "compare": "workbench.tta.comparison",
    "ladder": "workbench.tta.ladder",
    "leaderboard": "workbench.tta.leaderboard",
    "olympic_mean": "workbench.tta.rcp",
    "profile": "workbench.tta.performance",
    "rcp_check": "workbench.tta.rcp",
    "read_csv": "workbench.tta.importers",
    "read_dawnbench": "workbench.tta.dawnbench_read",
    "read_mlflow": "workbench.tta.importers",
    "read_mllog": "workbench.tta.importers",
    "read_tensorboard": "workbench.tta.importers",
    "repeat": "workbench.tta.repeat",
    "report": "workbench.tta.report",
    "runs": "workbench.tta.history",
    "scaling": "workbench.tta.attribution",
    "sensitivity": "workbench.tta.ranking",
    "validate_dawnbench": "workbench.tta.dawnbench_validate",
}

__getattr__, __dir__ = attach(__name__, _LAZY)

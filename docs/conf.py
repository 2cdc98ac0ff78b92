"""How Sphinx builds the documentation: MyST for the prose, NumPy docstrings for the API, notebooks as they are."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from workbench.engine.version import __version__

HERE = Path(__file__).parent

project = "Workbench"
author = "The Workbench authors"
copyright = "The Workbench authors, Apache License 2.0"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Workbench"
html_static_path = ["static"]
html_show_sphinx = False

# Notebooks are kept without outputs: they are run where outputs are wanted, which takes minutes.
nb_execution_mode = "force" if os.environ.get("WB_DOCS_EXECUTE") else "off"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Single backquotes in docstrings are code.
default_role = "code"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"  # the docstrings say what parameters are
autodoc_member_order = "bysource"
# Parameters are called as the methods of several classes are; cells of magics are not Python throughout.
suppress_warnings = ["ref.python", "misc.highlighting_failure"]


def setup(app: Any) -> None:
    """Write the generated pages before Sphinx looks for sources."""
    sys.path.insert(0, str(HERE))
    generate = importlib.import_module("generate")
    app.connect("builder-inited", lambda _: generate.write(HERE / "generated"))

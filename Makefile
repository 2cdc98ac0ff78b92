# `make demo` and `make test` are all that a newcomer needs; each sets up .venv by itself and installs nothing twice.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The constraint also has to reach the isolated environment that builds the JupyterLab extension.
PIP    := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet
SETUP  := pyproject.toml constraints.txt
LAB    := $(wildcard extensions/workbench-lab/src/*.ts extensions/workbench-lab/style/*.css extensions/workbench-lab/schema/*.json \
          extensions/workbench-lab/package.json workbench/notebook/static/*.js)

.PHONY: demo test test-slow test-wheel lint lab docs bench lock clean

demo: $(VENV)/.installed-all
	$(BIN)/workbench demo -o tour.html

# Two processes, a file of tests in one of them: most tests wait for browsers, kernels and clusters half of their time.
# WB_EXAMPLES=5000 runs as many random array programs and frame pipelines (tests/fusion) instead of a few hundred.
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

# Whole notebooks, hundreds of kills, statistics by simulation: what keeps `make test` from ending within 15 minutes.
test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# The browser tests once more, with the JupyterLab of an environment that has the wheel and what it needs, no Node.js.
WHEEL := build/wheel
test-wheel: $(VENV)/.installed-test
	rm -rf $(WHEEL)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip wheel --quiet --no-deps -w $(WHEEL) .
	$(PYTHON) -m venv $(WHEEL)/env
	PIP_CONSTRAINT=constraints.txt $(WHEEL)/env/bin/python -m pip install --quiet "$$(echo $(WHEEL)/*.whl)[all]"
	WORKBENCH_LAB_PYTHON=$(CURDIR)/$(WHEEL)/env/bin/python $(BIN)/python -m pytest tests/browser

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: $(VENV)/.installed-all
	$(BIN)/workbench lab

# WB_DOCS_EXECUTE=1 also runs the notebooks, for their outputs.
docs: $(VENV)/.installed-test
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.video
	$(BIN)/python -m benchmarks.outliers
	$(BIN)/python -m benchmarks.tta
	$(BIN)/python -m benchmarks.fusion
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.notebook

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Workbench needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)

# The extension's build looks at its own sources only, and ships the modules of the notebook too: it is made anew.
$(VENV)/.installed-%: $(VENV)/bin/python $(SETUP) $(LAB)
	@rm -rf workbench/labextension
	$(PIP) -e ".[$*]"
	@touch $@

lock: $(VENV)/.installed-test
	$(BIN)/python -m pip freeze --exclude-editable | grep -v '^workbench' > constraints.new
	@echo "Compare constraints.new with constraints.txt; torch stays pinned without its local version."
	cd extensions/workbench-lab && ../../$(BIN)/jlpm install --mode update-lockfile

clean:
	rm -rf $(VENV) tour.html build dist docs/_build docs/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis

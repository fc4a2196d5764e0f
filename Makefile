# Two commands: `make demo` shows the product on bundled forms, `make test` proves it. Each makes its own .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint slow clean

demo: $(VENV)/.base
	$(BIN)/python jobs/batch_extract.py kie_ray/samples --output out/demo --preview 10
	$(BIN)/python jobs/show.py out/demo
	@echo "Tables: out/demo/fields/*.parquet    Preview: open out/demo/preview/index.html"

# The library's tests share the cores, one process each; those that start Ray need the machine to themselves.
test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/kie_ray tests/parity tests/benchmarks tests/test_imports.py -n logical --maxprocesses 8 --dist loadfile
	$(BIN)/python -m pytest tests/pipelines tests/jobs tests/faults

slow: $(VENV)/.test
	$(BIN)/python -m pytest tests -m slow

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.test: $(VENV)/.base
	$(PIP) install --quiet --constraint constraints.txt --editable ".[test,dev,synthetic]"
	touch $@

clean:
	rm -rf $(VENV) out

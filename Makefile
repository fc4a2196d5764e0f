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

# These share the cores, one process each; those that start Ray need the machine to themselves.
WITHOUT_RAY := tests/kie_ray tests/parity tests/benchmarks tests/pipelines/online/api tests/pipelines/online/page \
    $(addprefix tests/jobs/test_,evaluate.py import_model.py import_recorded.py show.py) \
    $(addprefix tests/pipelines/test_,beside.py cluster.py costs.py extract_config.py finalize.py isolation.py manifest.py phases.py run_report.py stages.py) \
    tests/test_imports.py $(filter-out %_job.py,$(wildcard tests/faults/test_hostile_*.py))

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(WITHOUT_RAY) -n logical --maxprocesses 8 --dist loadfile
	$(BIN)/python -m pytest tests/pipelines tests/jobs tests/faults \
	    $(addprefix --ignore=,$(filter tests/pipelines% tests/jobs% tests/faults%,$(WITHOUT_RAY)))

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

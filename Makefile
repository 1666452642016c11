# One word for each thing a person does; `make help` lists them.

# Where PyTorch comes from. What .venv holds is remembered, so TORCH= is needed once. `active`
# installs nothing and uses the environment that is active; conda's `rocm` is found by itself.
VENV := .venv
INSTALLED := $(patsubst $(VENV)/.installed-%,%,$(firstword $(wildcard $(VENV)/.installed-*)))
TORCH = $(or $(if $(filter rocm,$(CONDA_DEFAULT_ENV)),active),$(INSTALLED:rocm%=rocm),cuda)
ROCM = $(or $(patsubst rocm%,%,$(filter rocm%,$(INSTALLED))),7.2)
PYTHON = python3
ARGS =
GRID =
JOBS = 2
PORT = 5001
WORKERS = 1

pinned = $(shell sed -n 's/^$(1)==\([0-9.]*\).*/\1/p' requirements.txt)
index = https://download.pytorch.org/whl/$(1)
install = "torch==$(call pinned,torch)$(1)" "torchvision==$(call pinned,torchvision)$(1)"

ifeq ($(TORCH),cuda)
BUILD := cuda
# === takes no other build of the same version for it, so a switch back from rocm or cpu works.
BUILD_ARGS = $(subst ==,===,$(call install))
else ifeq ($(TORCH),rocm)
BUILD := rocm$(ROCM)
BUILD_ARGS = $(call install,+$(BUILD)) --extra-index-url $(call index,$(BUILD))
else ifeq ($(TORCH),cpu)
BUILD := cpu
BUILD_ARGS = $(call install,+$(BUILD)) --extra-index-url $(call index,$(BUILD))
else ifneq ($(TORCH),active)
$(error TORCH is '$(TORCH)', but must be cuda (runs on the CPU too), rocm, cpu or active)
endif

ifeq ($(TORCH),active)
BIN := $(shell dirname "$$(command -v $(PYTHON))")
READY := active
else
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.installed-$(BUILD)
endif

# Stages start `python`, so the environment comes first in PATH. Nothing is run through the
# scripts in BIN: those name the folder they were installed in, and a repository may be moved.
# BIN reaches the shell as a variable: a folder may be called $(touch x).
RUN = PATH="$$BIN:$$PATH" "$$BIN/python"
export BIN
unexport PYTHONPATH
unexport PYTHONHOME

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help repro compare sweep test faults fuzz mutants coverage bench ui serve lint format params clean clean-all active scm

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo "Options: TORCH=cuda|rocm|cpu|active (now $(TORCH)), ROCM=$(ROCM) (PyTorch's wheels for that"
	@echo "ROCm), PYTHON=$(PYTHON) (3.11 or newer), ARGS='...' for dvc repro or pytest"

repro: $(READY) scm ## run the pipeline: images in, an evaluated and registered model out
	@$(RUN) -m wbc check
	@$(RUN) -m dvc repro $(ARGS)

compare: $(READY) ## repro with every network and the classical baseline: sets architectures
	@$(RUN) -m wbc params compare
	@$(MAKE) --no-print-directory repro

sweep: $(READY) scm ## try a grid of settings, two at a time: GRID='train.epochs=5,10 seed=1,2' JOBS=2
	@$(RUN) -m wbc sweep --jobs "$(JOBS)" "$(GRID)"

test: lint ## lint, check the types, run the tests
	@$(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

faults: $(READY) ## kill every stage and command at over 200 counted moments, and run it again
	@$(RUN) -m tests.faults $(ARGS)

fuzz: $(READY) ## try some 8,000 hostile inputs, new ones each time, several minutes
	@WBC_FUZZ=nightly $(RUN) -m pytest tests/fuzz -n auto --dist loadfile $(ARGS)

mutants: $(READY) ## change splits, metrics, pixels and registry in thousands of ways, an hour or more
	@$(RUN) -m pip install --quiet -r requirements-tests.txt
	@$(RUN) -m mutmut run $(ARGS)

coverage: $(READY) ## the tests, and which lines of wbc/ and stages/ they run; below 95 % is an error
	@$(RUN) -m pip install --quiet -r requirements-tests.txt
	@$(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term \
		--cov-fail-under=95 $(ARGS)

bench: $(READY) ## measure speed against the reference recipe, a quarter of an hour
	@$(RUN) -m benchmarks

ui: $(READY) ## open the MLflow UI on this repository's runs and models
	@$(RUN) -m wbc ui

serve: $(READY) ## answer over HTTP on 127.0.0.1 with the champion: PORT=5001 WORKERS=1
	@$(RUN) -m wbc serve --port "$(PORT)" --workers "$(WORKERS)"

lint: $(READY) ## check style, format and types; ask whether packages have known holes
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@"$$BIN/python" .ci/audit.py

format: $(READY) ## put the code into the project's format
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

params: $(READY) ## make params PROFILE=raabin: put a profile's settings into params.yaml
	@$(RUN) -m wbc params "$(PROFILE)"

OUTPUTS := data/raw data/split data/pixels models reports comparison quality
CACHES := scratch .pytest_cache .mypy_cache .ruff_cache

clean: ## remove generated data, models and reports (`dvc checkout` brings them back) and caches
	@rm -rf $(OUTPUTS) $(CACHES)
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	@echo "removed: $(OUTPUTS) $(CACHES) __pycache__"
	@echo "kept: $(VENV), data/incoming, data/weights, mlruns and DVC's cache (dvc checkout restores)"

clean-all: ## also remove .venv, every MLflow run and model, and DVC's cache; needs SURE=yes
	@test "$(SURE)" = yes || { echo "error: clean-all removes $(VENV), all MLflow runs and" \
	  "registered models in mlruns and DVC's cache for good; type: make clean-all SURE=yes"; \
	  exit 1; } >&2
	@$(MAKE) --no-print-directory clean
	@find mlruns -mindepth 1 -not -name .gitkeep -delete
	@rm -rf $(VENV) .dvc/cache .dvc/tmp
	@echo "removed: $(VENV), what was in mlruns, .dvc/cache, .dvc/tmp"
	@echo "kept: data/incoming, data/weights"

active:
	@"$$BIN/python" -c 'import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, \
	  ("torch", "dvc", "mlflow"))))' || { echo "error: the active environment ($$BIN) lacks" \
	  "packages; type: pip install -r requirements.txt"; exit 1; } >&2

# Unpacked from a zip there is no git, which DVC must be told, and untold once there is one.
scm: $(READY)
	@"$$BIN/python" .ci/dvc_scm.py

# A stamp dated 1970 means "begun": remembered as the choice, yet to be finished. pip would compile
# on one core, compileall does on all; a few templates among the libraries cannot be compiled.
$(VENV)/.installed-%: requirements.txt
	@PYTHON="$(PYTHON)" .ci/make_venv $(VENV)
	@echo "Installing requirements.txt into $(VENV), with PyTorch for $* (several GB, once)"
	@for stamp in $(VENV)/.installed-*; do test ! -e "$$stamp" || touch -t 197001020000 "$$stamp"; done
	@"$$BIN/python" -m pip install --disable-pip-version-check --no-compile $(BUILD_ARGS) \
	  -r requirements.txt || { echo "error: pip could not install requirements.txt with PyTorch for" \
	  "$* (its reason is above); check the network or choose another TORCH= (make help), then type" \
	  "the same again"; exit 1; } >&2
	@"$$BIN/python" -m compileall -qq -j 0 "$$BIN/../lib" || true
	@rm -f $(VENV)/.installed-* && touch $@

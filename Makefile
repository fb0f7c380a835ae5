# `make demo` and `make test` set up all they need, then do what they say. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
SENTENCE ?= put the red mug on the plate, cluttered kitchen
COUNT ?= 20
OUT ?= demo/library
DEMOS ?= 100
WARM ?= 600
STEPS ?= 100
ITERATIONS ?= 16
# Index of CPU builds of torch, where the default index has only CUDA builds: make setup-train TORCH_INDEX=URL
TORCH_INDEX ?=

.PHONY: help setup setup-train opengl demo reproduce test test-all lint types lock schemas clean

help:  ## List these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: opengl $(VENV)/.ready  ## Make .venv with pinned versions and an editable install

$(VENV)/.ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) found. Install Python 3.11 or newer, or set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11. Set PYTHON=python3.11 or newer."; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || { \
		echo "Python's venv module is missing (Debian: apt install python3-venv)."; rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

setup-train: setup $(VENV)/.train-ready  ## Add what the trainer needs

# torch comes first, so that nothing pulls in another build of it
$(VENV)/.train-ready: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[train]'
	@touch $@

# what tests of models need; they make tiny ones and load them as any other
$(VENV)/.test-ready: $(VENV)/.train-ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[train,gen]'
	@touch $@

opengl:
	@if [ "$$(uname -s)" = Linux ] && ! ldconfig -p 2>/dev/null | grep -qE 'libEGL\.so\.1|libOSMesa\.so' \
		&& ! /sbin/ldconfig -p 2>/dev/null | grep -qE 'libEGL\.so\.1|libOSMesa\.so'; then \
		packages="libegl1 libegl-mesa0 libgl1-mesa-dri"; \
		if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq $$packages >/dev/null; \
		elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo apt-get update -qq && sudo apt-get install -y -qq $$packages >/dev/null; \
		else echo "No OpenGL library for headless drawing was found. Run: sudo apt-get install $$packages"; exit 1; fi; fi

demo: setup-train  ## From one sentence: 20 scenes, an expert's film, a gallery, and a policy that imitates the expert, then learns by trying
	$(BIN)/worldgen make "$(SENTENCE)" --count $(COUNT) --out $(OUT) --workers $(WORKERS)
	$(BIN)/worldgen check $(OUT) --workers $(WORKERS)
	$(BIN)/worldgen play $(OUT) --video $(OUT)/../expert.mp4
	$(BIN)/worldgen gallery $(OUT)
	$(BIN)/trainer demos $(OUT) --episodes $(DEMOS) --out $(OUT)/../data --workers $(WORKERS)
	$(BIN)/trainer sft $(OUT)/../data --warm 0 --steps 0 --out $(OUT)/../before
	$(BIN)/trainer evaluate $(OUT)/../before $(OUT) --split all --episodes 60 --films 0 --workers $(WORKERS)
	$(BIN)/trainer sft $(OUT)/../data --warm $(WARM) --steps $(STEPS) --out $(OUT)/../after
	$(BIN)/trainer evaluate $(OUT)/../after $(OUT) --split all --episodes 60 --workers $(WORKERS) --versus $(OUT)/../before/eval-all
	$(BIN)/trainer rl $(OUT) --init $(OUT)/../after --out $(OUT)/../rl --iterations $(ITERATIONS) --every 0 --workers $(WORKERS)
	$(BIN)/trainer evaluate $(OUT)/../rl $(OUT) --split all --episodes 60 --workers $(WORKERS) --versus $(OUT)/../after/eval-all
	$(BIN)/trainer plot $(OUT)/../rl --out $(OUT)/../rl.png

reproduce: setup-train  ## Make the tables of imitation and of generated worlds, in many hours; what is finished is kept, and it goes on where it was
	$(BIN)/python -m benchmarks.learning --base shipped --workers $(WORKERS)
	$(BIN)/python -m benchmarks.generative_worlds --workers $(WORKERS)
	$(BIN)/python -m benchmarks.alternatives --workers $(WORKERS)

test: setup-train $(VENV)/.test-ready  ## Run the tests, without the slow ones
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n $(WORKERS) -m "not slow"

test-all: setup-train $(VENV)/.test-ready  ## Run all tests
	$(BIN)/pytest -n $(WORKERS)

lint: setup  ## Mend what the linter can, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup-train  ## Check types
	$(BIN)/mypy

schemas: setup  ## Write schemas/*.json anew
	$(BIN)/worldgen schema --write

lock: setup  ## Pin what is installed now
	$(BIN)/python -m pip freeze --exclude-editable | grep -viE '^(torch|nvidia|triton)' > requirements.lock

clean:  ## Remove everything that these commands made
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

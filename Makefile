.DEFAULT_GOAL := help
SHELL := /bin/bash

# Any Python from 3.11 on, which the newest versions in constraints.txt need. PYTHON=... names another one.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# How many processes run the tests. One that has finished its share takes over tests of the others.
WORKERS ?= 2
PYTEST := HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests --numprocesses $(WORKERS) --dist worksteal
CODE := benchmarks docs/site model_cards modeling paravox recipes tests trainers setup.py

.PHONY: help setup demo test test-slow test-all test-versions test-floors robustness quality types style release-check publish docs bench

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

setup: $(INSTALLED)  ## Make .venv and install paravox into it, with the versions that were tested

$(INSTALLED): setup.cfg setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: install Python 3.11, or name one with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch setuptools wheel
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $(INSTALLED)

demo: setup  ## Train on synthetic bursts, compare, save and predict, in a few minutes
	$(BIN)/python recipes/demo/demo.py --output_dir runs/demo

test: setup  ## Run the tests that need nothing but this checkout
	$(PYTEST) --ignore tests/slow -m "not slow"

test-slow: setup  ## Run the tests that take long, but need nothing but this checkout either
	$(PYTEST) --ignore tests/slow -m slow

test-all: setup test-versions test-floors  ## Run all tests; tests/slow needs real data in ../shared or PARAVOX_SHARED
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests

test-versions: setup  ## Open saved models in several versions of Transformers
	$(BIN)/python benchmarks/transformers_versions.py

test-floors: setup  ## Run the tests with the oldest versions that setup.cfg allows; FLOORS_PYTHON= names a Python 3.10
	$(BIN)/python benchmarks/floors.py $(if $(FLOORS_PYTHON),--python $(FLOORS_PYTHON))

robustness: setup  ## Read 100,000 damaged recordings and other mutated input, and count what becomes of it
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/robustness.py

quality: setup types  ## Check format, lint and types
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

# mypy finds modules by their folders: this is the package as it is installed, made of links.
types:
	@rm -rf $(VENV)/types && mkdir -p $(VENV)/types/paravox
	@ln -s $(CURDIR)/paravox/* $(addprefix $(CURDIR)/,modeling trainers recipes model_cards) $(VENV)/types/paravox/

style: setup  ## Fix format and lint
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

release-check: setup  ## Build and try what would be released, and compare its version with the changelog
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/slow/test_release.py
	@version=$$($(BIN)/python -c 'import paravox; print(paravox.__version__)'); \
		newest=$$(grep -m 1 '^## ' CHANGELOG.md); \
		[[ "$$newest " == "## $$version "* ]] || \
		{ echo "this is version $$version, but CHANGELOG.md begins with '$$newest': make them agree"; exit 1; }

publish: setup  ## Publish a saved model: FOLDER=runs/mine/model REPO=me/name
	$(BIN)/python recipes/publish.py $(FOLDER) $(REPO)

docs: setup  ## Build the documentation as a site into build/site; a warning is an error
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: setup  ## Run the benchmarks; ENCODER= (a Whisper), NEMO=, DATA_DIR=, MODEL= and CLIP= add those that need them
	$(BIN)/python benchmarks/start_up.py $(if $(MODEL),--model $(MODEL) --clip $(CLIP))
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/task_batching.py
	$(if $(DATA_DIR),$(BIN)/python benchmarks/reading.py --encoder $(ENCODER) --data_dir $(DATA_DIR))
	$(if $(NEMO),$(BIN)/python benchmarks/few_shot.py --encoder $(ENCODER) --data_dir $(NEMO))
	$(if $(MODEL),$(BIN)/python benchmarks/prediction.py --model $(MODEL) --encoder $(ENCODER) --data_dir $(DATA_DIR))
	$(if $(MODEL),$(BIN)/python benchmarks/folder_prediction.py --model $(MODEL) --data_dir $(DATA_DIR))
	$(if $(MODEL),$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[onnx]')
	$(if $(MODEL),$(BIN)/python benchmarks/onnx_export.py --model $(MODEL) --data_dir $(DATA_DIR))

.DEFAULT_GOAL := help
SHELL := /bin/bash

# Any Python from 3.11 on. PYTHON=... names another one.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# How many processes run the tests. Each takes one test file at a time.
WORKERS ?= 2
CODE := benchmarks model_cards modeling paravox recipes tests trainers setup.py

.PHONY: help setup demo test test-all quality types style publish bench

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

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
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests --ignore tests/slow -m "not slow" --numprocesses $(WORKERS) --dist loadfile

test-all: setup  ## Run all tests, also slow ones; tests/slow needs real data in ../shared or PARAVOX_SHARED
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests

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

publish: setup  ## Publish a saved model: FOLDER=runs/mine/model REPO=me/name
	$(BIN)/python recipes/publish.py $(FOLDER) $(REPO)

bench: setup  ## Run the benchmarks; ENCODER= (a Whisper), NEMO=, DATA_DIR= and MODEL= add those that need them
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/task_batching.py
	$(if $(DATA_DIR),$(BIN)/python benchmarks/reading.py --encoder $(ENCODER) --data_dir $(DATA_DIR))
	$(if $(NEMO),$(BIN)/python benchmarks/few_shot.py --encoder $(ENCODER) --data_dir $(NEMO))
	$(if $(MODEL),$(BIN)/python benchmarks/prediction.py --model $(MODEL) --encoder $(ENCODER) --data_dir $(DATA_DIR))
	$(if $(MODEL),$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[onnx]')
	$(if $(MODEL),$(BIN)/python benchmarks/onnx_export.py --model $(MODEL) --data_dir $(DATA_DIR))

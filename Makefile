# `make help` lists the targets. Each Python version has its own environment, so that PYTHON=... never destroys another.

PYTHON ?= python3
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV ?= .venv-$(PYTHON_VERSION)
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
WITH_ENVIRONMENT := PATH="$$(cd $(BIN) && pwd):$$PATH"
# Read by pip for what it installs and for what it builds with.
export PIP_CONSTRAINT := constraints.txt
# Options of your own for pip, a package index say.
PIP_ARGS ?=
# Options or paths for pytest: make test PYTEST_ARGS="tests/test_doctor.py -x"
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist worksteal
# Options of tests/fuzz/run.py: make fuzz FUZZ_ARGS="--inputs 5000 --seed 7"
FUZZ_ARGS ?=
# Options of python -m speecht5_fairseq.web: make web WEB_ARGS="--port 8000"
WEB_ARGS ?=

# Options of the stress test: make stress STRESS_ARGS="--job t2s --kills 100"
STRESS_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup doctor lint format test stress fuzz demo web bench clean distclean python
.NOTPARALLEL:

help:  ## list these targets
	@echo "make TARGET [PYTHON=python3.11] [VENV=folder] [PYTEST_ARGS=...] [PIP_ARGS=...]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-12s %s\n", $$1, $$2}'

setup: $(STAMP)  ## create the environment (.venv-<Python version>) with the tested versions; nothing to do when up to date
	@echo "Environment ready: . $(VENV)/bin/activate"

python:
	@case "$(PYTHON_VERSION)" in \
	  3.10|3.11|3.12) ;; \
	  "") echo "PYTHON=$(PYTHON) does not start. Name a Python 3.10, 3.11 or 3.12: make setup PYTHON=/path/to/python3.11" >&2; exit 1 ;; \
	  *) echo "PYTHON=$(PYTHON) is Python $(PYTHON_VERSION); fairseq runs on 3.10, 3.11 and 3.12: make setup PYTHON=python3.11" >&2; exit 1 ;; \
	esac
	@if ! command -v c++ >/dev/null && ! command -v g++ >/dev/null; then \
	  echo "pesq and pyworld (scores of speech), and on Python 3.10 fairseq, are compiled, and there is no C++ compiler." \
	    "Install one: apt-get install g++ (Debian)" >&2; exit 1; fi

# venv without ensurepip (Debian without python3-venv): the outer pip fills a bare environment, no root needed.
# -qq leaves pip's errors only. The stamp comes last: an interrupted set-up goes on at the next call.
$(STAMP): setup.py constraints.txt | python
	@echo "[1/3] environment $(VENV), Python $(PYTHON_VERSION)"
	@$(BIN)/python -c "" 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) >/dev/null \
	  || { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -qq pip; }
	@$(BIN)/python -m pip install -qq $(PIP_ARGS) pip
	@echo "[2/3] packages: about 3 GB, some minutes"
	@$(BIN)/python -m pip install -qq $(PIP_ARGS) -e ".[test,bench,demo,web]"
	@echo "[3/3] checking the installation"
	@$(WITH_ENVIRONMENT) python speecht5_fairseq/doctor.py
	@touch $@

doctor:  ## what is wrong with the installation, and what to type
	@if [ -x $(BIN)/python ]; then $(WITH_ENVIRONMENT) python speecht5_fairseq/doctor.py; \
	  else $(PYTHON) speecht5_fairseq/doctor.py; fi

lint: setup  ## ruff
	$(BIN)/ruff check .

format: setup  ## let ruff mend what it can
	$(BIN)/ruff check --fix .

test: setup lint  ## set-up, lint, then every test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

stress: setup  ## kill a training 30 times at random moments and compare with one that never was (STRESS_ARGS="--help")
	$(WITH_ENVIRONMENT) PYTHONPATH=.:tests OMP_NUM_THREADS=1 python -m stress $(STRESS_ARGS)

demo: setup  ## prepare, train, decode and score a small real example on the CPU
	$(WITH_ENVIRONMENT) bash examples/demo/run.sh

web: setup  ## serve the demo's recogniser and voice as a page in the browser (WEB_ARGS="--port 8000")
	$(WITH_ENVIRONMENT) bash examples/demo/web.sh $(WEB_ARGS)

bench: setup  ## measure against peers, in one run
	$(BIN)/python -m pip install -qq $(PIP_ARGS) --no-deps "espnet==202412"
	$(WITH_ENVIRONMENT) python -m benchmarks

fuzz: setup  ## 100,000 damaged inputs to everything that reads files
	$(WITH_ENVIRONMENT) python tests/fuzz/run.py $(FUZZ_ARGS)

clean:  ## remove caches and build leftovers
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis fuzz-kept
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean  ## remove the environments too
	rm -rf .venv-*

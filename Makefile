# make demo    pretrain the tiny model on demo data, then fine-tune it to predict a host's age
# make test    the test suite, without the slow tests
# make lint    style and types
# make bench   speed and memory, each against the plain way
# make docs    check that the docs name what there is
#
# Each of them makes .venv first, with Python 3.11 or newer and the versions of constraints.txt.
.PHONY: demo test lint bench docs
SHELL := bash
BIN := .venv/bin

demo: .venv/installed
	$(BIN)/aam-train run_name=demo
	$(BIN)/aam-train loop=finetune data.target=age freeze=nucleotide \
		pretrained=$$(ls -td $${AAM_OUTPUTS:-outputs}/runs/run_*_pretrain_demo* | head -1)

test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n 2 --dist loadfile

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/unifrac.py
	$(BIN)/python benchmarks/step.py --model tiny small --slots 256
	$(BIN)/python benchmarks/matmuls.py --model tiny small
	$(BIN)/python benchmarks/growth.py --repeats 1
	$(BIN)/python benchmarks/monitoring.py

docs: .venv/installed
	$(BIN)/pytest tests/test_docs.py

.venv/installed: pyproject.toml constraints.txt
	@for python in python3.11 python3 none; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if [ $$python = none ]; then \
		echo "aam needs Python 3.11 or newer: install it, then call make again" >&2; exit 1; \
	fi; \
	$$python -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

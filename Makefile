# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# A file stays on one core, for its fixtures; long files come first (tests/conftest.py sees to it).
ON_BOTH_CORES := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all check catalog bench clean help

help:
	@echo "make demo    install, then train, judge and verify on embedded pictures, offline (about 20 s)"
	@echo "make test    install with the test tools, then run the quick tests"
	@echo "make test-all  every test, as continuous integration does"
	@echo "make check   format, lint, types, import layers"
	@echo "make catalog rewrite the catalogue of networks, the CLI reference and the pages on networks"
	@echo "make bench   the short benchmarks, as JSON and a table (about ten minutes on 2 cores)"

demo: .venv/.installed
	@echo "== budwood demo: training on embedded pictures, no network needed"
	@$(BIN)/budwood demo

test: .venv/.installed-dev
	@echo "== quick tests (about 5 minutes on 2 cores); make test-all runs the others too (tests that need real photos say so when they skip)"
	@OMP_NUM_THREADS=1 $(BIN)/pytest $(ON_BOTH_CORES) -m "not slow"

test-all: .venv/.installed-dev
	@echo "== all tests (about 25 minutes on 2 cores; tests that need real photos say so when they skip)"
	@OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=full $(BIN)/pytest $(ON_BOTH_CORES)

check: .venv/.installed-dev
	$(BIN)/ruff format --check src tests benchmarks tools
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/mypy
	$(BIN)/lint-imports

catalog: .venv/.installed-dev
	$(BIN)/python tools/make_catalog.py
	$(BIN)/python tools/make_cli_docs.py
	$(BIN)/python tools/make_settings_docs.py
	$(BIN)/python tools/make_network_docs.py

bench: .venv/.installed-dev
	@for script in $$(grep -lE "__main__" benchmarks/*.py); do echo "== $$script"; $(BIN)/python $$script --short || exit 1; done

clean:
	rm -rf .venv build dist

.venv/bin/pip:
	@echo "== making a virtual environment in .venv"
	@$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/pip
	@echo "== installing Budwood and what it needs into .venv (torch is large; some minutes)"
	@$(BIN)/pip install -q -e .
	@touch $@

.venv/.installed-dev: pyproject.toml | .venv/bin/pip
	@echo "== installing Budwood with its test tools into .venv (torch is large; some minutes)"
	@$(BIN)/pip install -q -e '.[dev,lite]'
	@touch $@ .venv/.installed

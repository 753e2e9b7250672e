# make run    a call across the border, then the service stays up (no root needed)
# make test   everything that can be tested here; as root on Debian or Ubuntu it installs the peers that tests need
# make check  seconds: style, types, who imports whom, sizes, tests that mirror the code
# make bench  figures beside those of the peers
# make clean  nothing left but the sources

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run setup test check bench clean
.DEFAULT_GOAL := run

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@sh tools/make-venv "$(PYTHON)" "$(VENV)"
	@touch $@

run: setup
	@sh tools/run-demo "$(BIN)"

test: setup
	@sh tools/install-peers test
	@sh tools/run-tests "$(BIN)"

# All of it, also after something failed: one run tells everything.
check: setup
	@failed=; \
	$(BIN)/ruff check --quiet --output-format concise sbc tests twisted || failed=yes; \
	$(BIN)/ruff format --quiet --check sbc tests twisted || failed=yes; \
	$(BIN)/mypy --no-error-summary || failed=yes; \
	imports=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$imports"; failed=yes; }; \
	$(BIN)/python -m tests.support.house || failed=yes; \
	test -z "$$failed"

bench: setup
	@sh tools/install-peers bench
	@$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) build dist state *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache _trial_temp*
	find sbc tests twisted -name __pycache__ -prune -exec rm -rf {} +
	find twisted -name dropin.cache -delete

# Two commands do everything: `make demo` runs a society and asks it questions, `make test` tries it all.

# The newest Python that will do; say PYTHON=... to choose.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: demo test check fuzz hostile real-model bench-quick bench-peers reliability clean

demo: $(VENV)/installed
	@$(BIN)/matrix demo

test: $(VENV)/installed-test
	@$(BIN)/python -m pytest -n 2 -q

# Made-up queries on made-up histories against the plain evaluator: 50,000 answers compared; say COMPARISONS=1000000.
COMPARISONS ?= 50000
FUZZ_SEED ?= 0
fuzz: $(VENV)/installed-test
	@MATRIX_FUZZ_COMPARISONS=$(COMPARISONS) MATRIX_FUZZ_SEED=$(FUZZ_SEED) \
		$(BIN)/python -m pytest -n 2 -q tests/query/test_oracle.py -k long_search -o faulthandler_timeout=0

# Attacks on the server with their full numbers: 10,000 random frames, 1,000 abusive connections, twelve that never read.
hostile: $(VENV)/installed-test
	@MATRIX_HOSTILE=1 $(BIN)/python -m pytest -q tests/server/test_hostile.py tests/server/test_gate.py -o faulthandler_timeout=0

# The whole determinism battery, with the other versions of Python that are there.
reliability: $(VENV)/installed-test
	@pythons=; for p in python3.11 python3.12 python3.13; do \
		"$$p" -c '' 2>/dev/null || { echo "$$p is not here: left out" >&2; continue; }; \
		test -x $(VENV)/$$p/bin/python || { "$$p" -m venv $(VENV)/$$p && \
			$(VENV)/$$p/bin/python -m pip --disable-pip-version-check -qq install -e .; } || exit 1; \
		pythons="$$pythons$${pythons:+:}$(CURDIR)/$(VENV)/$$p/bin/python"; done; \
	MATRIX_PYTHONS="$$pythons" MATRIX_FUZZ_EXAMPLES=1000 $(BIN)/python -m pytest -q tests/reliability/test_determinism.py
	@MATRIX_ENGINE=handoff $(BIN)/python -m pytest -n 2 -q tests/runtime

# Model calls against llama.cpp's server, with weights that are made here; its wheel is the only download.
real-model: $(VENV)/installed-test
	@test -x $(VENV)/llama/bin/python || { $(PYTHON) -m venv $(VENV)/llama && \
		$(VENV)/llama/bin/python -m pip --disable-pip-version-check -qq install xllamacpp numpy; }
	@$(VENV)/llama/bin/python tests/models/llama_server.py $(BIN)/python -m pytest -q tests/models/test_real_server.py

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench-quick: $(VENV)/installed-test
	@for bench in bench/*.py; do $(BIN)/python "$$bench" --quick || exit 1; done

# The runtimes that bench/society.py puts beside Matrix, in an environment of their own (about 900 MB).
bench-peers: bench/.venv/installed

bench/.venv/installed: bench/peers/requirements.txt
	@"$(PYTHON)" -m venv bench/.venv
	@bench/.venv/bin/python -m pip --disable-pip-version-check -qq install -r $<
	@touch $@

clean:
	rm -rf $(VENV) bench/.venv

# The stamps make a second `make` quick: nothing is installed again until pyproject.toml changes.
$(VENV)/created:
	@test -n "$(PYTHON)" || { echo "Matrix needs Python 3.11 or newer: apt-get install python3 python3-venv" >&2; exit 1; }
	@rm -rf $(VENV)
	@echo "Making a virtual environment in $(VENV) with $(PYTHON)" >&2
	@"$(PYTHON)" -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make virtual environments; install what is missing: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml
	@echo "Installing Matrix and what it needs (once)" >&2
	@$(PIP) install -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/created pyproject.toml
	@echo "Installing Matrix and what its tests need (once)" >&2
	@$(PIP) install -e '.[test]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-dev: $(VENV)/created pyproject.toml
	@echo "Installing Matrix and what its checks need (once)" >&2
	@$(PIP) install -e '.[dev]'
	@touch $@ $(VENV)/installed $(VENV)/installed-test

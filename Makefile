# `make demo` and `make test` set everything up themselves: a virtual environment in .venv, the build, the models.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
NATIVE := $(shell find cpp models -type f) CMakeLists.txt pyproject.toml

CROSS  := aarch64-linux-gnu-g++
QEMU   := qemu-aarch64 -cpu cortex-a53
SAN    := build/sanitize

# $(call need,a program,the Debian package that brings it)
need = @command -v $(1) >/dev/null || { echo "make $@ needs $(1); on Debian: apt-get install $(2)"; exit 1; }

.PHONY: demo test browser faults lint neon sanitize sanitize-cpp sanitize-python clean
demo: $(STAMP)
	@$(BIN)/crossfade demo

test: $(STAMP) browser
	$(BIN)/python -m pytest

# The report is looked at in a browser. Where there is none, and packages can be installed, one is; else that test is skipped.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable
APT      := apt-get -qq -o Acquire::http::Timeout=10 -o Acquire::Retries=1
browser:
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null || exit 0; \
	echo "installing chromium, to look at reports with"; export DEBIAN_FRONTEND=noninteractive; \
	{ timeout 30 $(APT) update && timeout 80 $(APT) install --download-only --no-install-recommends chromium fonts-dejavu-core && \
	$(APT) install --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1 || echo "there is no chromium to be had"

# The long form of the fault suite; figures go to JSON. An interrupted run goes on with `make faults FLAGS=--resume`.
KILLS     ?= 1000
MUTATIONS ?= 10000
STEPS     ?= 100000
JSON      ?= build/faults.json
faults: $(STAMP)
	$(call need,strace,strace)
	PYTHONPATH=tests $(BIN)/python -m faults --kills $(KILLS) --mutations $(MUTATIONS) --steps $(STEPS) --json $(JSON) $(FLAGS)
	CROSSFADE_FAULTS=long $(BIN)/python -m pytest tests/test_api_fuzz.py

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.h')

# The kernels and their C++ test for 64-bit ARM, run on the least processor of that kind.
neon:
	$(call need,cmake,cmake)
	$(call need,$(CROSS),g++-aarch64-linux-gnu)
	$(call need,$(firstword $(QEMU)),qemu-user)
	cmake -S . -B build/neon -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=$(CROSS) \
	    -DCMAKE_EXE_LINKER_FLAGS=-static -DCROSSFADE_PYTHON=OFF -DCROSSFADE_TESTS=ON -DCROSSFADE_WERROR=ON
	cmake --build build/neon --parallel
	$(QEMU) build/neon/kernels_test scalar neon

# Memory errors and undefined behaviour end these at once.
sanitize: sanitize-cpp sanitize-python
sanitize-cpp sanitize-python: export CXXFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g

sanitize-cpp:
	$(call need,cmake,cmake)
	cmake -S . -B $(SAN)/cpp -DCROSSFADE_PYTHON=OFF -DCROSSFADE_TESTS=ON
	cmake --build $(SAN)/cpp --parallel
	$(SAN)/cpp/kernels_test

KERNEL_TESTS := $(addprefix tests/test_,$(addsuffix .py,normalize project rescore merge_topk covariance candidates blending rank_blended walk kernels))
# The kernels' Python tests, at every level. Python itself has no sanitizer in it: its library is loaded first, and that of C++
# with it, for the exceptions. What the interpreter keeps until its end would count as leaks.
SANITIZED = ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)"
sanitize-python:
	test -d $(SAN)/venv || $(PYTHON) -m venv $(SAN)/venv
	$(SAN)/venv/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(SAN)/venv/bin/python -m pip install --quiet numpy blake3 pytest hypothesis ml-dtypes
	$(SAN)/venv/bin/python -m pip install --quiet --no-deps --force-reinstall . \
	    --config-settings=build-dir=$(SAN)/python --config-settings=cmake.build-type=RelWithDebInfo
	set -e; export $(SANITIZED); \
	levels=$$($(SAN)/venv/bin/python -c "from crossfade import _core; print(*_core.instruction_sets())"); \
	for level in $$levels; do \
	    CROSSFADE_SIMD=$$level PYTHONPATH=tests $(SAN)/venv/bin/python -m pytest --noconftest -p kernel_rows $(KERNEL_TESTS); \
	done

$(STAMP): $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "crossfade needs Python 3.11 or newer; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group test
	@touch $@

clean:
	rm -rf $(VENV) build

# `make demo` and `make test` set everything up themselves: a virtual environment in .venv, the build, the models.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
NATIVE := $(shell find cpp models -type f) CMakeLists.txt pyproject.toml

CROSS  := aarch64-linux-gnu-g++
QEMU   := qemu-aarch64 -cpu cortex-a53

# $(call need,a program,the Debian package that brings it)
need = @command -v $(1) >/dev/null || { echo "make $@ needs $(1); on Debian: apt-get install $(2)"; exit 1; }

.PHONY: demo test lint neon clean
demo: $(STAMP)
	@$(BIN)/crossfade demo

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy

# The kernels and their C++ test for 64-bit ARM, run on the least processor of that kind.
neon:
	$(call need,cmake,cmake)
	$(call need,$(CROSS),g++-aarch64-linux-gnu)
	$(call need,$(firstword $(QEMU)),qemu-user)
	cmake -S . -B build/neon -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=$(CROSS) \
	    -DCMAKE_EXE_LINKER_FLAGS=-static -DCROSSFADE_PYTHON=OFF -DCROSSFADE_TESTS=ON -DCROSSFADE_WERROR=ON
	cmake --build build/neon --parallel
	$(QEMU) build/neon/kernels_test scalar neon

$(STAMP): $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "crossfade needs Python 3.11 or newer; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group test
	@touch $@

clean:
	rm -rf $(VENV) build

# The two commands that a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --constraint constraints.txt

# An older processor: torch, oneDNN, BLAS and NumPy are told not to use what AVX2 has not. It then computes in
# float32. What is tested there: all that computes with loops, and the commands.
AVX2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell \
	NPY_DISABLE_CPU_FEATURES='X86_V4 AVX512_ICL AVX512_SPR'
COMPUTING := $(addprefix tests/unit/,models encoders collection matching learning verbs) \
	tests/properties/test_embedding_properties.py tests/cli/test_commands.py

.PHONY: demo test test-avx2 test-slow lint format docs benchmark pretrain-data pretrain pretrain-eval clean

demo: .venv/.installed
	$(BIN)/loopsphere demo

test: .venv/.installed-dev
	$(BIN)/pytest

test-avx2: .venv/.installed-dev
	$(AVX2) $(BIN)/pytest $(COMPUTING)

test-slow: .venv/.installed-dev
	$(BIN)/pytest -m slow

lint: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# A site that opens from disk, build/site/index.html; a broken link or an unknown name fails it.
docs: .venv/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo open build/site/index.html

# Each of the three goes on where it was stopped; see pretraining/README.md.
pretrain-data: .venv/.installed-pretraining
	pretraining/fetch.sh
	$(BIN)/python -m pretraining.render --out pretraining/pool --n 16384
	$(BIN)/python -m pretraining.render --out pretraining/pool-eval --n 1024 --seed 1 --split eval

# glibc keeps the memory of one step for the next, which makes steps shorter; elsewhere it changes nothing.
pretrain: .venv/.installed-pretraining
	MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8000000000 $(BIN)/python -m pretraining.train
	$(BIN)/python -m pretraining.export
	$(BIN)/python -m pretraining.joining

pretrain-eval: .venv/.installed-pretraining
	$(BIN)/python -m pretraining.evaluate

.venv/.installed: pyproject.toml setup.py constraints.txt src/loopsphere/models/attention_kernel.c
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(PIP) --editable '.[dev]'
	# A peer for tests alone: it pins NumPy below 2 and wants torchvision, neither of which the tests need.
	$(PIP) --no-deps laion-clap torchlibrosa
	touch $@

.venv/.installed-docs: .venv/.installed
	$(PIP) --editable '.[docs]'
	touch $@

.venv/.installed-pretraining: .venv/.installed-dev
	$(PIP) --editable '.[dev,pretraining]'
	touch $@

clean:
	rm -rf .venv demo build dist src/*.egg-info src/loopsphere/models/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis

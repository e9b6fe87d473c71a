# The commands of the project; `make help` lists them. Variables come after the command: make shards CORPUS=dir.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CORPUS ?= data/sample
OUT ?= data/work
ARGS ?=

# A misspelt variable is an error, not a run over the sample.
KNOWN := CORPUS POOL TOKENIZER OUT MIN_SCORE MIN_SCORE_SINGLE SEED THREADS NOUNS ARGS CARGO_TARGET_DIR SHELL
GIVEN := $(foreach v,$(.VARIABLES),$(if $(findstring command line,$(origin $(v))),$(v)))
UNKNOWN := $(filter-out $(KNOWN) -%,$(GIVEN))
$(if $(UNKNOWN),$(error no variable is called $(UNKNOWN); known are $(KNOWN)))

# A variable that is set becomes an option; one that is not leaves the program's default.
option = $(if $($(1)),--$(2) "$($(1))")
OPTIONS = --corpus "$(CORPUS)" --out "$(OUT)" $(call option,POOL,pool) $(call option,TOKENIZER,tokenizer) \
	$(call option,MIN_SCORE,min-score) $(call option,MIN_SCORE_SINGLE,min-score-single) $(call option,SEED,seed) \
	$(call option,THREADS,threads) $(call option,NOUNS,nouns) $(ARGS)

TARGET := $(or $(CARGO_TARGET_DIR),target)
PIPELINE := $(TARGET)/release/pipeline
VENV := $(TARGET)/venv
DENY := $(TARGET)/tools/bin/cargo-deny

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

.PHONY: pipeline
pipeline:
	@cargo build --release --package pipeline $(if $(wildcard $(PIPELINE)),--quiet)

.PHONY: shards
shards: pipeline ## raw dumps to sealed shards: CORPUS=dir POOL=file TOKENIZER=file OUT=dir MIN_SCORE= MIN_SCORE_SINGLE= SEED= THREADS= NOUNS=on|off ARGS=
	@$(PIPELINE) run $(OPTIONS)

.PHONY: inspect
inspect: pipeline ## what is in the shards: counts, lengths, frequent phrases, rejected records, some rows; OUT=dir ARGS=
	@$(PIPELINE) inspect "$(OUT)" $(ARGS)

.PHONY: verify
verify: pipeline ## compare every file below OUT with its manifest; OUT=dir
	@$(PIPELINE) verify "$(OUT)"

.PHONY: test
test: $(VENV)/ready ## all tests: Rust, whole commands, and the shards as DuckDB and polars see them
	@EBERT_PYTHON="$$(realpath -s $(VENV)/bin/python)" cargo test --release --workspace

.PHONY: check
check: $(DENY) ## what a reviewer runs: format, lints, docs, dependency rules
	@cargo fmt --all --check
	@cargo clippy --release --workspace --all-targets --quiet -- --deny warnings
	@RUSTDOCFLAGS="--deny warnings" cargo doc --release --workspace --no-deps --document-private-items --quiet
	@$(DENY) --log-level error check bans licenses sources

# Python is needed by tests alone: it opens the shards as a user would.
$(VENV)/ready: pipeline/tests/requirements.txt
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(DENY):
	@cargo install --quiet --locked --root $(TARGET)/tools cargo-deny@0.20.2

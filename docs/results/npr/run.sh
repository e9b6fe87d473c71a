#!/usr/bin/env bash
# Repeats the comparison of options of Neighbor Product Reconstruction in docs/paper.md.
#
#     docs/results/npr/run.sh REAL PROOF WORK [JOBS]
#
# REAL and PROOF: the folders REAL and WORK of docs/results/proof/run.sh, which has made shards and the start model.
# WORK: folder of everything that is written. JOBS: runs at once, one thread each (default 1). Finished runs are kept
# and stopped runs resume. options.csv, next to this script, has a row per run.
set -euo pipefail
vocabulary=$(realpath "$1")/vocab/bert-base-uncased-vocab.txt proof=$(realpath "$2") jobs=${4:-1}
here=$(realpath "$(dirname "$0")")
bin=${BIN:-$(realpath "$here/../../../target/release")}
mkdir -p "$3" && cd "$3"

# The same shards twice, but for the negatives of the pairs.
[ -e random ] || ln -s "$proof/data" random
[ -e category ] || { cp -r "$proof/data" category.partial && mv category.partial category; }
"$bin/ebert" shards --corpus "$proof/corpus" --out category --association-source both --negatives category \
    --tokenizer "$vocabulary" >category.log 2>&1

cat >recipe.toml <<'TOML'
base = "e-bert"
summary = "products with pairs, to compare the options of NPR"
dropout = 0.0
[data]
held_out = 0.05
[optimizer]
learning_rate = 5e-4
tokens = 2048
warmup = 0.05
[neighbor]
pairs = 16
[measure]
every = 400
segments = 512
pairs = 512
[checkpoint]
every = 0
keep = 1
[[stage]]
corpora = ["products"]
steps = 400
neighbor = true
TOML

one() { # NAME SEED SHARDS OPTIONS...
    local run=$1-$2 set=(seed="$2" "${@:4}")
    "$bin/ebert" pretrain --shards "$3" --out "$run" --init "$proof/runs/start/model" --recipe recipe.toml --threads 1 \
        "${set[@]/#/--set=}" >"$run.log" 2>&1 || { echo "$run failed: $(tail -n 3 "$run.log")" >&2 && return 1; }
    echo "$run"
}
export bin proof
export -f one

for seed in 1 2; do
    while read -r name rest; do echo "$name $seed $rest"; done <<'OPTIONS'
control random neighbor.weight=0
weight-0.1 random neighbor.weight=0.1 neighbor.margin=1
margin-0.2 random
margin-0.5 random neighbor.margin=0.5
margin-1 random neighbor.margin=1
normalized-0.2 random neighbor.states=normalized
normalized-0.5 random neighbor.states=normalized neighbor.margin=0.5
in-batch-0.2 random neighbor.negatives=in_batch
in-batch-0.5 random neighbor.negatives=in_batch neighbor.margin=0.5
projection-0.2 random neighbor.projection=true
projection-0.5 random neighbor.projection=true neighbor.margin=0.5
category-0.2 category
category-0.5 category neighbor.margin=0.5
printed random neighbor.reduction=sum neighbor.scale=none neighbor.margin=1
OPTIONS
done | xargs -P "$jobs" -L 1 bash -euo pipefail -c 'one "$@"' one

{
    echo run,words,pool_phrases,phrases,near,far,nearer,within,mrr,word_overlap_mrr,tf_idf_mrr
    for run in *-[12]; do
        [ -e "$run/metrics.jsonl" ] || continue
        jq -r --arg run "$run" 'select(.step == 400 and .held_out) | [$run, .held_out[0].loss,
            .held_out[1].pool_phrases.loss, .held_out[1].loss, (.held_out_pairs | .near, .far, .nearer, .within),
            (.held_out_pairs.retrieval | .model.mrr, .word_overlap.mrr, .tf_idf.mrr)] |
            [.[0]] + (.[1:] | map(. * 1e4 | round / 1e4)) | @csv' "$run/metrics.jsonl" | tr -d '"'
    done
} >"$here/options.csv"

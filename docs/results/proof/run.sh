#!/usr/bin/env bash
# Repeats the runs of docs/results/claims.md: shards, the common start, all arms and replicates, and their probes.
#
#     docs/results/proof/run.sh REAL BERT WORK [JOBS]
#     docs/results/proof/run.sh --records WORK
#
# REAL: folder with amazon/, more-reviews/, baskets/, downstream/ and vocab/. BERT: the start model's folder.
# WORK: folder of everything that is written. JOBS: runs at once, one thread each (default 1).
# Finished parts of WORK are kept and stopped runs resume, so the command can be repeated. When all is finished, it
# replaces records/, the tests, the tables and the figures, which are next to this script.
# To take fine-tunings of the same models from records/, unpack finetune.jsonl.gz and learning.jsonl.gz into WORK first.
#
# The second form trains nothing and needs no data. It makes tests, tables and figures from records/, in two minutes,
# in a folder of WORK.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '4,5s/^# */usage: /p' "$0" >&2
    exit 2
fi
here=$(realpath "$(dirname "$0")")
bin=$(realpath "${BIN:-$here/../../../target/release}")

restore() { # NAME: puts the probes of a record where they were written
    jq -cs '.[0] + {models: .[1]}' <(zcat "$here/records/shared.json.gz") <(zcat "$here/records/$1.json.gz") \
        >"probes/$1.json"
}

logged() { # LOG COMMAND...: what it prints goes to LOG, and the end of that to the terminal if it fails
    local log=$1
    shift
    "$@" >"$log" 2>&1 || { echo "$log: $(tail -n 3 "$log")" >&2 && return 1; }
}

tests() { # tests and figures, from probes/ and records/
    cp "$here/claims.toml" .
    logged claims.log "$bin/ebert" claims claims.toml
    cp claims.{md,csv,svg} "$here"
    python3 "$here/figures.py"
}

tables() { # OPTIONS...: Table 2 of the fifth claim, and learning curves, from their finished cells
    "$bin/ebert" grid finetune.toml --threads 1 "$@"
    cp finetune/table2.{md,csv} "$here"
    "$bin/ebert" grid learning.toml --threads 1 "$@"
    cp learning/table2.md "$here/learning.md"
    cp learning/learning-curves.svg "$here/learning.svg"
}

if [ "$1" = --records ]; then
    # Not in WORK itself, where they would pass for the probes of its own runs.
    mkdir -p "$2/from-records/probes"
    cd "$2/from-records"
    for record in "$here"/records/{start,*-[0-9]}.json.gz; do restore "$(basename "$record" .json.gz)"; done
    tests
    for grid in finetune learning; do zcat "$here/records/$grid.jsonl.gz" >$grid.jsonl; done
    cp "$here"/{finetune,learning}.toml .
    tables --finished
    exit
fi

real=$(realpath "$1") bert=$(realpath "$2") jobs=${4:-1}
mkdir -p "$3"/{corpus,runs,probes,aspects,records}
cd "$3"

# Text of all dumps; one user of Beauty per line becomes rows of ratings, a day apart.
ln -sfn "$real/amazon" corpus/amazon
ln -sfn "$real/more-reviews" corpus/more-reviews
[ -e corpus/ratings.csv ] || {
    zcat "$real/baskets/beauty_sequences.txt.gz" | awk '{
        for (i = 2; i <= NF; i++) printf "%s,%s,5.0,%d\n", $1, $i, 1300000000 + (i - 2) * 86400
    }' >corpus/ratings.partial && mv corpus/ratings.partial corpus/ratings.csv
}
"$bin/ebert" shards --corpus corpus --out data --association-source both \
    --tokenizer "$real/vocab/bert-base-uncased-vocab.txt"

pretrain() { # NAME INIT OPTIONS...
    local run=runs/$1 init=$2
    shift 2
    logged "$run.log" "$bin/ebert" pretrain --shards data --out "$run" --init "$init" --threads 1 "$@"
    echo "$run  $(tail -n 1 "$run.log")"
}

keep() { # NAME: writes the records of a run. The last one is there only if all are
    # Of each step its losses and alpha, and all that was measured.
    jq -c 'if .gradient_norm then {step, stage, mode, loss: (.loss * 1e4 | round / 1e4), alpha} else . end' \
        "runs/$1/metrics.jsonl" | gzip -9n >"records/$1.metrics.jsonl.gz"
    jq -c .models "probes/$1.json" | gzip -9n >"records/$1.partial"
    mv "records/$1.partial" "records/$1.json.gz"
}

is_finished() { # NAME
    [ -e "records/$1.json.gz" ]
}

arm() { # NAME REPLICATE
    if is_finished "$1-$2"; then return; fi
    local set=(seed="$2" dropout=0 data.held_out=0.05 optimizer.tokens=4096 optimizer.learning_rate=5e-4
        optimizer.warmup=0.05 measure.every=200 measure.segments=512 measure.pairs=512 checkpoint.every=200
        checkpoint.keep=1)
    local recipe=$1
    case $1 in
    mixed) recipe=e-bert-ahm && set+=(scheme=mixed switch.alpha0="$(mean_alpha)") ;;
    esac
    case $1 in
    e-bert | e-bert-products) set+=(stage.0.steps=1100 stage.1.steps=1100) ;;
    *) set+=(stage.0.steps=2200) ;;
    esac
    pretrain "$1-$2" runs/start/model --recipe "$recipe" "${set[@]/#/--set=}"
    probe "$1-$2"
}

mean_alpha() { # of all steps of the three adaptive runs
    zcat records/e-bert-ahm-[123].metrics.jsonl.gz |
        jq -s '[.[].alpha | numbers] | add / length * 1000 | round / 1000'
}

sentences() { # NAME FILE... : all sentences of files as one, with the number of their file before their id
    local name=$1 number=0
    shift
    {
        echo '<sentences>'
        for file; do
            number=$((number + 1))
            sed -E '/<\/?sentences>|<\?xml/d; s/<sentence id="/&'$number'-/' "$file"
        done
        echo '</sentences>'
    } >"aspects/$name.xml"
}

probe() { # NAME: of a finished run
    logged "probes/$1.log" "$bin/ebert" probe "runs/$1/model" --shards data --held-out 0.05 --threads 1 \
        --titles data/titles.jsonl --aspects aspects/*.xml --out "probes/$1.json"
    keep "$1"
}

part() { # FILE --part I/N: a part of the cells of a grid
    "$bin/ebert" grid "$1" --threads 1 "${@:2}"
}

export bin
export -f logged pretrain keep is_finished arm mean_alpha probe part
"$bin/ebert" titles data
sentences laptops "$real"/downstream/Laptop{_Train_v2,s_Test_Gold}.xml
for domain in electronics home fashion; do
    sentences "$domain" "$real/downstream/dmaste/$domain-"{train,test}.xml
done
pretrain start "$bert" --recipe "$here/start.toml"
is_finished start || probe start
each() { # arms of the arguments, three replicates, JOBS at once
    printf '%s\n' "$@" | sed 's/.*/& 1\n& 2\n& 3/' | xargs -P "$jobs" -L 1 bash -euo pipefail -c 'arm "$@"' arm
}

each e-bert e-bert-products bert e-bert-dp bert-np e-bert-ahm
each mixed spanbert

# The fifth claim and the learning curves: JOBS processes share the cells. The models of all runs are needed, also of
# those with a record.
ln -sfn "$real/downstream" tasks
for grid in finetune learning; do
    cp "$here/$grid.toml" .
    touch -a $grid.jsonl
    seq -f "%g/$jobs" 0 $((jobs - 1)) | xargs -P "$jobs" -n 1 bash -euc 'part "$@"' part $grid.toml --part
done

# What all runs and probes share: their items, the raw files, and where the weights come from.
jq -c '{settings, items}' probes/start.json | gzip -9n >records/shared.json.gz
jq '.inputs | map({path, records, blake3})' data/corpus/manifest.json >records/corpus.json
jq -n '[inputs | {(input_filename | split("/")[1]): {identity, starts}}] | add' runs/*/run.json >records/runs.json
tables
for grid in finetune learning; do gzip -9nc $grid/records.jsonl >records/$grid.jsonl.gz; done
cp records/* "$here/records/"
tests

#!/bin/bash
# Builds shards with Slurm: each step of `ebert plan` is a job or an array of tasks.
#
#     deploy/slurm/shards.sh CORPUS TOKENIZER OUT [TASKS [OPTION...]]
#
# CORPUS: folder of raw files. TOKENIZER: vocab.txt of the start model. OUT: output folder.
# TASKS: size of the arrays (default 16). OPTION: further options of `ebert shards`.
# All paths are on a file system that all nodes share, or addresses such as s3://bucket/ebert.
# If tasks fail, run the script again: finished tasks are kept.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n 's/^# \{0,1\}//; 2,9p' "$0" >&2
    exit 2
fi
absolute() { case $1 in *://*) echo "$1" ;; *) realpath -m "$1" ;; esac; }
corpus=$(absolute "$1") tokenizer=$(absolute "$2") out=$(absolute "$3") tasks=${4:-16}
here=$(dirname "$(realpath "$0")")
command -v ebert >/dev/null || { echo "error: ebert is not on the PATH" >&2 && exit 1; }
ebert plan --corpus "$corpus" --tokenizer "$tokenizer" --out "$out" --tasks "$tasks" "${@:5}"

# submit STEP OPTION...: prints the id of the job.
submit() {
    sbatch --parsable --job-name="$1" --kill-on-invalid-dep=yes "${@:2}" "$here/worker.sbatch" "$1" "$out"
}
array=--array=0-$((tasks - 1))
read=$(submit read "$array")
documents=$(submit documents "$array" --dependency="afterok:$read")
interactions=$(submit interactions "$array" --dependency="afterok:$documents")
# `pool` and `rows` are single tasks, which need more memory: docs/clusters.md.
words=$(submit words "$array" --dependency="afterok:$interactions")
pool=$(submit pool --dependency="afterok:$words" --mem=12G --time=48:00:00)
edges=$(submit edges "$array" --dependency="afterok:$interactions")
graph=$(submit graph "$array" --dependency="afterok:$edges")
encode=$(submit encode "$array" --dependency="afterok:$pool")
rows=$(submit rows --dependency="afterok:$encode:$graph" --mem=12G)
pairs=$(submit pairs "$array" --dependency="afterok:$rows")
echo "jobs $read (read), $documents (documents), $interactions (interactions), $words (words), $pool (pool)," \
    "$edges (edges), $graph (graph), $encode (encode), $rows (rows), $pairs (pairs); the output is $out/shards"

#!/bin/bash
# Builds shards with Slurm: the steps that run once, an array of encoding tasks, and the manifest.
#
#     deploy/slurm/shards.sh CORPUS TOKENIZER OUT [TASKS]
#
# CORPUS: folder of raw files. TOKENIZER: vocab.txt of the start model. OUT: output folder.
# TASKS: size of the array (default 16). All paths are on a file system that all nodes share.
# If tasks fail, run the script again: finished steps and shards are kept.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n 's/^# \{0,1\}//; 2,8p' "$0" >&2
    exit 2
fi
corpus=$(realpath "$1") tokenizer=$(realpath "$2") out=$(realpath -m "$3") tasks=${4:-16}
here=$(dirname "$(realpath "$0")")
command -v ebert >/dev/null || { echo "error: ebert is not on the PATH" >&2 && exit 1; }

# Mining 3.7 GB of text takes 7.4 GB of memory: docs/bench/README.md.
first=$(sbatch --parsable --job-name=pool --cpus-per-task=8 --mem=12G --time=04:00:00 <<SCRIPT
#!/bin/bash
set -euo pipefail
ebert corpus --corpus "$corpus" --tokenizer "$tokenizer" --out "$out" --threads 8
ebert pool --tokenizer "$tokenizer" --out "$out" --threads 8
ebert graph --out "$out" --threads 8
SCRIPT
)
array=$(sbatch --parsable --dependency="afterok:$first" --kill-on-invalid-dep=yes --array="0-$((tasks - 1))" "$here/shards.sbatch" \
    "$tokenizer" "$out")
last=$(sbatch --parsable --dependency="afterany:$array" --job-name=seal --cpus-per-task=8 --mem=4G --time=01:00:00 <<SCRIPT
#!/bin/bash
set -euo pipefail
ebert pairs --tokenizer "$tokenizer" --out "$out" --threads 8
ebert seal --tokenizer "$tokenizer" --out "$out" --parts "$tasks"
SCRIPT
)
echo "jobs $first (pool), $array (shards), $last (seal); the output is $out/shards"

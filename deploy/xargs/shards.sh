#!/bin/bash
# Builds shards in tasks that xargs starts, on this machine.
#
#     deploy/xargs/shards.sh OUT TASKS PROCESSES OPTION...
#
# OUT: output folder. TASKS: number of tasks per step. PROCESSES: how many run at a time.
# OPTION: options of `ebert shards`, such as --corpus amazon --tokenizer vocab.txt.
# If a task fails, run the script again: finished tasks are kept.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n 's/^# \{0,1\}//; 2,8p' "$0" >&2
    exit 2
fi
out=$1 tasks=$2 processes=$3
threads=$((($(nproc) + processes - 1) / processes))
ebert plan --out "$out" --tasks "$tasks" "${@:4}"
for step in read documents interactions words pool edges graph encode rows pairs; do
    case $step in
        pool | rows) n=1 t=$(nproc) ;;
        *) n=$tasks t=$threads ;;
    esac
    seq -f "%.0f/$n" 0 $((n - 1)) |
        xargs -P "$processes" -n 1 ebert worker "$step" --config "$out/ebert.toml" --threads "$t"
done

#!/bin/bash
# Builds shards with Kubernetes: each step of `ebert plan` is an indexed Job.
#
#     deploy/kubernetes/shards.sh IMAGE CLAIM OUT [TASKS]
#
# IMAGE: image with `ebert`. CLAIM: a claim of a volume that all pods may write (ReadWriteMany).
# OUT: output folder on it, below /shared, or an address such as s3://bucket/ebert. TASKS: pods per step (default 16).
# An address needs the store's variables, such as AWS_ACCESS_KEY_ID, in a secret `ebert-store`.
# `ebert plan` must have written OUT/ebert.toml, with paths below /shared.
# If a step fails, delete its Job and run the script again: finished tasks are kept.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n 's/^# \{0,1\}//; 2,10p' "$0" >&2
    exit 2
fi
image=$1 claim=$2 out=$3 tasks=${4:-16}
here=$(dirname "$(realpath "$0")")
for step in read documents interactions words pool edges graph encode rows pairs; do
    case $step in
        pool | rows) n=1 memory=12Gi ;;
        *) n=$tasks memory=4Gi ;;
    esac
    sed "s|STEP|$step|g; s|TASKS|$n|g; s|IMAGE|$image|; s|CLAIM|$claim|; s|OUT|$out|; s|MEMORY|$memory|g" \
        "$here/step.yaml" | kubectl apply -f -
    kubectl wait --for=condition=complete --timeout=48h "job/ebert-$step"
done

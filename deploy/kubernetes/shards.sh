#!/bin/bash
# Builds shards with Kubernetes: each step of `ebert plan` is an indexed Job.
#
#     deploy/kubernetes/shards.sh IMAGE CLAIM OUT [TASKS]
#
# IMAGE: image with `ebert`. CLAIM: a claim of a volume that all pods may write (ReadWriteMany).
# OUT: output folder on it, below /shared, or an address such as s3://bucket/ebert. TASKS: pods per step (default 16).
# An address needs the store's variables, such as AWS_ACCESS_KEY_ID, in a secret `ebert-store`.
# `ebert plan` must have written OUT/ebert.toml, with paths below /shared.
# A Job of an earlier run is replaced. If a step fails, run the script again: finished tasks are kept.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n 's/^# \{0,1\}//; 2,10p' "$0" >&2
    exit 2
fi
image=$1 claim=$2 out=$3 tasks=${4:-16}
here=$(dirname "$(realpath "$0")")
# The hash keeps Jobs of different output folders apart.
run=$(cksum <<<"$out" | cut -d ' ' -f 1)
for step in read documents interactions words pool edges graph encode rows pairs; do
    case $step in
        pool | rows) n=1 memory=12Gi ;;
        *) n=$tasks memory=4Gi ;;
    esac
    job=ebert-$step-$run
    kubectl delete job "$job" --ignore-not-found
    sed "s|JOB|$job|; s|STEP|$step|; s|TASKS|$n|g; s|IMAGE|$image|; s|CLAIM|$claim|; s|OUT|$out|; s|MEMORY|$memory|g" \
        "$here/step.yaml" | kubectl create -f -
    until kubectl wait --for=condition=complete --timeout=60s "job/$job"; do
        failed=$(kubectl get job "$job" -o 'jsonpath={.status.conditions[?(@.type=="Failed")].message}')
        if [ -n "$failed" ]; then
            echo "error: $job failed: $failed" >&2
            echo "hint: kubectl logs job/$job" >&2
            exit 1
        fi
    done
done

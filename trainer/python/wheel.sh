#!/usr/bin/env bash
# Builds dist/ebert-VERSION-….whl from the programs in a folder (target/release) and the Python module. `make wheel` runs it,
# with maturin and patchelf on the PATH.
set -euo pipefail
programs=$(realpath "$1")
cd "$(dirname "$0")"
# maturin takes what is in these folders: scripts go to `bin` of the environment, data to its root.
data=ebert.data
trap 'rm -rf "$data" licenses' EXIT
rm -rf "$data" licenses
mkdir -p "$data/scripts" "$data/data/share/ebert" licenses
cp ../../LICENSE-MIT ../../LICENSE-APACHE licenses/
cp ../../pipeline/english/models/NOTICE.md licenses/NOTICE-tagger.md
cp ../../pipeline/mining/lists/NOTICE.md licenses/NOTICE-nouns.md
for file in ebert ebert-trainer ebert-trainer-libtorch libebert_nccl.so; do
    [ -e "$programs/$file" ] || [ "$file" = libebert_nccl.so ] || { echo "error: $programs/$file is missing; hint: make trainer" >&2; exit 1; }
    [ ! -e "$programs/$file" ] || cp "$programs/$file" "$data/scripts/"
done
for file in "$data"/scripts/*; do
    # libtorch is found when the trainer starts, not where it lay on this machine.
    patchelf --remove-rpath "$file"
    strip "$file"
done
cp -r ../../data/sample "$data/data/share/ebert/"
# The newest symbol of glibc that a program needs names the platform. pip refuses the wheel on older systems.
glibc=$(objdump -T "$data"/scripts/* | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -1 | cut -d. -f2)
# libtorch is not in the wheel, so auditwheel has nothing to repair.
maturin build --release --strip --quiet --auditwheel skip --compatibility "manylinux_2_$glibc" --out ../../dist

"""Packs the programs for other machines: `make archive`.

    python deploy/release/archive.py target/release dist

`dist/ebert-VERSION-x86_64-linux.tar.gz` has the programs without symbols, manual pages, completions,
the sample, and the licenses of the project and of all crates that are compiled in.
`dist/SHA256SUMS` has its hash. The same programs give the same bytes. Needs patchelf.
"""
import gzip
import hashlib
import pathlib
import shutil
import sys
import tarfile
import tempfile

from contents import ROOT, add_licenses, add_programs, add_sample, glibc, run

COMPLETIONS = {"bash": "ebert.bash", "zsh": "_ebert", "fish": "ebert.fish"}

INSTALL = """ebert {version} for Linux on x86-64, glibc {glibc} or newer.

    export PATH="$PWD/bin:$PATH"
    ebert shards            # runs over the sample in share/ebert/sample

Training needs torch {torch}. In this folder:

    python3 -m venv .
    bin/pip install torch=={torch}          # with CUDA, 3 GB
    ebert doctor

Without a GPU, less is enough (0.5 GB):

    bin/pip install --no-deps {wheels}

LIBTORCH names torch in another folder. A GPU needs an NVIDIA driver for CUDA 13 (580 or newer).
"""


def main(programs, dist):
    version = run(programs / "ebert", "--version").split()[1]
    name = f"ebert-{version}-x86_64-linux"
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work) / name
        fill(folder, programs, version)
        archive = dist / f"{name}.tar.gz"
        dist.mkdir(parents=True, exist_ok=True)
        pack(folder, archive)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (dist / "SHA256SUMS").write_text(f"{digest}  {archive.name}\n")
    print(f"archive   {archive}   {archive.stat().st_size / 1e6:.1f} MB   sha256 {digest[:12]}…")


def fill(folder, programs, version):
    add_programs(programs, folder / "bin")
    run(programs / "ebert", "man", folder / "man")
    (folder / "completions").mkdir()
    for shell, file in COMPLETIONS.items():
        (folder / "completions" / file).write_text(run(programs / "ebert", "completions", shell))
    add_sample(folder / "share/ebert/sample")
    add_licenses(folder / "licenses")
    shutil.copy(ROOT / "CHANGELOG.md", folder)
    wheels = [line for line in (ROOT / "trainer/libtorch.txt").read_text().split("\n") if line and line[0] != "#"]
    torch = wheels[0].removeprefix("torch==")
    install = INSTALL.format(version=version, glibc=glibc(folder / "bin"), torch=torch, wheels=" ".join(wheels))
    (folder / "INSTALL").write_text(install)


def pack(folder, archive):
    def plain(entry):
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.isdir() or entry.name.split("/")[1:2] == ["bin"] else 0o644
        return entry

    partial = archive.with_suffix(".partial")
    with open(partial, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(folder, folder.name, filter=plain)
    partial.replace(archive)


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:3]))

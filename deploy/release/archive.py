"""Packs the programs for other machines: `make archive`.

    python deploy/release/archive.py target/release dist

`dist/ebert-VERSION-x86_64-linux.tar.gz` has the programs without symbols, manual pages, completions,
the sample, and the licenses of the project and of all crates that are compiled in.
`dist/SHA256SUMS` has its hash. The same programs give the same bytes. Needs patchelf.
"""
import gzip
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ["ebert", "ebert-trainer", "ebert-trainer-libtorch"]
# For several GPUs, if it was built.
NCCL = "libebert_nccl.so"
# The packages of the programs.
PACKAGES = {"pipeline", "ebert-program"}
COMPLETIONS = {"bash": "ebert.bash", "zsh": "_ebert", "fish": "ebert.fish"}
LICENSE = re.compile(r"^(licen[cs]e|copying|notice|unlicense|copyright)", re.IGNORECASE)

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
    (folder / "bin").mkdir(parents=True)
    for program in PROGRAMS + [NCCL] * (programs / NCCL).exists():
        packed = folder / "bin" / program
        run("strip", "-o", packed, programs / program)
        # libtorch is found when the trainer starts, not where it lay on this machine.
        run("patchelf", "--remove-rpath", packed)
    run(programs / "ebert", "man", folder / "man")
    (folder / "completions").mkdir()
    for shell, file in COMPLETIONS.items():
        (folder / "completions" / file).write_text(run(programs / "ebert", "completions", shell))
    shutil.copytree(ROOT / "data/sample", folder / "share/ebert/sample")
    for file in ("LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"):
        shutil.copy(ROOT / file, folder)
    notices = folder / "licenses"
    notices.mkdir()
    shutil.copy(ROOT / "pipeline/english/models/NOTICE.md", notices / "tagger.md")
    shutil.copy(ROOT / "pipeline/mining/lists/NOTICE.md", notices / "nouns.md")
    (notices / "crates.txt").write_text(crates())
    wheels = [line for line in (ROOT / "trainer/libtorch.txt").read_text().split("\n") if line and line[0] != "#"]
    torch = wheels[0].removeprefix("torch==")
    install = INSTALL.format(version=version, glibc=glibc(folder / "bin"), torch=torch, wheels=" ".join(wheels))
    (folder / "INSTALL").write_text(install)


def crates():
    """The crates that are compiled in, with their licenses and the texts of these."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform=x86_64-unknown-linux-gnu"]
    metadata = json.loads(run(*command, cwd=ROOT))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    todo = [identifier for identifier, package in packages.items() if package["name"] in PACKAGES]
    found = set(todo)
    while todo:
        for dependency in nodes[todo.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                todo.append(dependency["pkg"])
    # Those of the workspace have no source.
    others = [package for package in map(packages.get, found) if package["source"]]
    texts, listed = {}, []
    for package in sorted(others, key=lambda it: (it["name"], it["version"])):
        listed.append(f"{package['name']} {package['version']}: {package['license'] or package['license_file']}")
        for file in sorted(pathlib.Path(package["manifest_path"]).parent.iterdir()):
            if file.is_file() and LICENSE.match(file.name):
                texts.setdefault(file.read_text(errors="replace").strip(), []).append(package["name"])
    parts = [f"{', '.join(dict.fromkeys(names))}\n\n{text}" for text, names in texts.items()]
    return "\n".join(listed) + "\n\n" + f"\n\n{'-' * 80}\n\n".join(parts) + "\n"


def glibc(folder):
    """The newest version of glibc's symbols that the programs need."""
    symbols = run("objdump", "-T", *folder.iterdir())
    return max(re.findall(r"GLIBC_(\d+\.\d+)", symbols), key=lambda version: [*map(int, version.split("."))])


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


def run(*command, **options):
    """What a command prints."""
    return subprocess.run([*map(str, command)], check=True, stdout=subprocess.PIPE, text=True, **options).stdout


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:3]))

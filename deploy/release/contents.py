"""What the archive and the wheel have in common: programs, the sample, and licenses."""
import json
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ["ebert", "ebert-trainer", "ebert-trainer-libtorch"]
# For several GPUs, if it was built.
NCCL = "libebert_nccl.so"
# The packages of the programs and of the Python module.
PACKAGES = {"pipeline", "ebert-program", "ebert-python"}
NOTICES = {
    "LICENSE-MIT": "LICENSE-MIT",
    "LICENSE-APACHE": "LICENSE-APACHE",
    "pipeline/english/models/NOTICE.md": "tagger.md",
    "pipeline/mining/lists/NOTICE.md": "nouns.md",
}
LICENSE = re.compile(r"^(licen[cs]e|copying|notice|unlicense|copyright)", re.IGNORECASE)


def add_programs(source, folder):
    """Copies the programs without symbols."""
    folder.mkdir(parents=True)
    for program in PROGRAMS + [NCCL] * (source / NCCL).exists():
        if not (source / program).exists():
            raise SystemExit(f"error: `{source / program}` is missing\nhint: make programs")
        run("strip", "-o", folder / program, source / program)
        # libtorch is found when the trainer starts, not where it lay on this machine.
        run("patchelf", "--remove-rpath", folder / program)


def add_sample(folder):
    """Copies the sample."""
    shutil.copytree(ROOT / "data/sample", folder)


def add_licenses(folder):
    """Writes the licenses of the project, of its models and lists, and of all crates that are compiled in."""
    folder.mkdir(parents=True)
    for file, name in NOTICES.items():
        shutil.copy(ROOT / file, folder / name)
    (folder / "crates.txt").write_text(crates())


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


def run(*command, **options):
    """What a command prints."""
    return subprocess.run([*map(str, command)], check=True, stdout=subprocess.PIPE, text=True, **options).stdout

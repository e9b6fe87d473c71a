"""Packs the programs and the Python module for pip: `make wheel`.

    python deploy/release/wheel.py target/release dist

Needs maturin and patchelf on the PATH.
"""
import pathlib
import shutil
import sys

from contents import ROOT, add_licenses, add_programs, add_sample, glibc, run

PACKAGE = ROOT / "trainer/python"
# maturin takes what is there: scripts go to `bin` of the environment, data to its root.
DATA = PACKAGE / "ebert.data"
LICENSES = PACKAGE / "licenses"


def main(programs, dist):
    try:
        clear()
        add_programs(programs, DATA / "scripts")
        add_sample(DATA / "data/share/ebert/sample")
        add_licenses(LICENSES)
        # pip refuses the wheel on systems with an older glibc. libtorch is not in the wheel, so
        # auditwheel has nothing to repair.
        platform = "manylinux_" + glibc(DATA / "scripts").replace(".", "_")
        options = ["--auditwheel", "skip", "--compatibility", platform, "--out", dist.resolve()]
        run("maturin", "build", "--release", "--strip", "--quiet", *options, cwd=PACKAGE)
    finally:
        clear()
    wheel = max(dist.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    print(f"wheel     {wheel}   {wheel.stat().st_size / 1e6:.1f} MB")


def clear():
    for folder in (DATA, LICENSES):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:3]))

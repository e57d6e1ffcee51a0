#!/bin/sh
# Makes .venv with the pinned versions of constraints.txt. Called by make; safe to repeat.
# PYTHON=...       use this interpreter      VENV=...  another folder
# TORCH_INDEX=...  install torch from this package index first (PyTorch's CPU-only one saves 3 GB)
set -eu

venv=${VENV:-.venv}

usable() {
    # A version manager's shim may exist and still not run, so the interpreter itself is asked.
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    if ! usable "$PYTHON"; then
        found=$("$PYTHON" --version 2>&1 || true)
        echo "PYTHON=$PYTHON is not Python 3.11, 3.12 or 3.13 (it says: $found). Nothing was downloaded." >&2
        echo "Install one of them, or name another: make demo PYTHON=python3.12" >&2
        exit 2
    fi
    python=$PYTHON
else
    python=
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 && usable "$candidate"; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "No Python 3.11, 3.12 or 3.13 was found (looked for python3.13, python3.12, python3.11, python3, python)." >&2
        echo "Nothing was downloaded. Install one, or name it: make demo PYTHON=/path/to/python3.12" >&2
        exit 2
    fi
fi

if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$python lacks the venv module, so no environment can be made. Nothing was downloaded." >&2
    echo "On Debian or Ubuntu: apt install python$version-venv. Elsewhere install a complete Python $version." >&2
    exit 2
fi

echo "Setting up $venv with $("$python" --version) (the first time this downloads up to 3.3 GB; the README says how to need less)"
"$python" -m venv "$venv"
# An interrupted set-up must not be taken for a finished one.
rm -f "$venv/.ready"
if [ -n "${TORCH_INDEX:-}" ]; then
    # The CPU build carries a local version (2.13.0+cpu), which the pinned 2.13.0 accepts.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --index-url "$TORCH_INDEX" torch==2.13.0 ||
        { echo "torch could not be installed from $TORCH_INDEX" >&2; exit 1; }
fi
# pip compiles one file after the other, about half of the time after the download: left out here, and done on every core.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
    --editable ./artifact --editable ./client --editable '.[dev,onnx,openvino,postgres,spacy-transformers]'
# What cannot be compiled (templates, code for another Python) is left as it is. So is what few import, a fifth of all: the packages'
# own tests, and the hundreds of architectures that transformers has; Python compiles a file when it is first asked for.
"$venv/bin/python" -m compileall -q -q -j 0 -x '/tests/|/transformers/models/|/torch/(_inductor|testing)/' "$venv/lib" \
    >/dev/null 2>&1 || true
touch "$venv/.ready"
echo "Ready."

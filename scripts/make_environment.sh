#!/usr/bin/env bash
# Builds a virtual environment: make_environment.sh FOLDER CONSTRAINTS EXTRAS
#
# The stamp FOLDER/.installed is written last, so an interrupted install is
# started again from the beginning by the next `make`.
set -euo pipefail
folder=$1 constraints=$2 extras=$3

rm -rf "$folder"
if command -v uv >/dev/null 2>&1; then
  uv venv --quiet --seed --python 3.11 "$folder"
elif command -v python3.11 >/dev/null 2>&1 \
    && python3.11 -c 'import venv, ensurepip' >/dev/null 2>&1; then
  python3.11 -m venv "$folder"
else
  echo "error: Python 3.11 with venv was not found. Install it with" \
    "'apt-get install python3.11 python3.11-venv' (Debian, Ubuntu) or" \
    "install uv (https://docs.astral.sh/uv), which fetches it." >&2
  exit 1
fi

echo "Installing .[$extras] into $folder (some minutes, about 2 GB)"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
  --constraint "$constraints" --editable ".[$extras]"
touch "$folder/.installed"

#!/usr/bin/env bash
# Puts the published Spec-Kit CLI into DIR, for the comparison of our engine with it.
#   tests/speckit.sh DIR     then DIR/venv/bin/specify
set -euo pipefail
# The version whose formats and answers `speckit/` promises.
version=1.2.3
dir=$(mkdir -p "$1" && cd "$1" && pwd)
[ "$(cat "$dir/version" 2> /dev/null)" = "$version" ] && exit 0
rm -f "$dir/version"
for python in python3.13 python3.12 python3.11 python3; do
  if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then break; fi
done
[ -x "$dir/venv/bin/python" ] || "$python" -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check "specify-cli==$version"
"$dir/venv/bin/specify" version > /dev/null
echo "$version" > "$dir/version"

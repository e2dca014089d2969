#!/usr/bin/env bash
# Runs every script of this folder against one binary, on a fresh vault and data folder. Nothing is skipped: a tool that is
# missing is a failure.
#   setup.sh DIR; run.sh --synod BINARY --tools DIR
# Exit code 0 only if every step passed. Logs of failed steps are printed.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
word=lanternwright # stands in the one note that is added below, and in no other
n_filler=600       # enough notes that a listing of resources needs pages
step_s=300
synod='' tools=''
while [ $# -gt 1 ]; do
  case $1 in
    --synod) synod=$(realpath "$2") ;;
    --tools) tools=$(realpath "$2") ;;
    *) echo "run.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
[ -n "$synod" ] && [ -n "$tools" ] || { echo "run.sh --synod BINARY --tools DIR" >&2; exit 2; }

node=$tools/node_modules/.bin/node
python=$tools/venv/bin/python
for tool in "$synod" "$node" "$python" "$tools/node_modules/.bin/inspector" "$tools/node_modules/.bin/conformance"; do
  [ -x "$tool" ] || { echo "FAIL $tool is missing; run setup.sh $tools" >&2; exit 1; }
done
[ -s "$tools/pins" ] || { echo "FAIL $tools is incomplete; run setup.sh $tools" >&2; exit 1; }

# The person's own synod is none of our business; only the folder of installed models may be shared.
unset SYNOD_DATA SYNOD_CONFIG
scratch=$(mktemp -d)
data=$scratch/data
vault=$scratch/shore
server=''
stop_server() {
  [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
  server=''
}
trap 'stop_server; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM

mkdir -p "$data" "$vault" "$scratch/many"
if [ -d "$here/../../examples/vault" ]; then
  cp -r "$here/../../examples/vault/." "$vault/"
else
  printf '# Tides\n\nSpring tides follow the full moon.\n' > "$vault/Tides.md"
  printf '# Pools\n\nSee [[Tides]] before you go.\n' > "$vault/Pools.md"
fi
# A space and an accent in the path: both must survive the way through URIs.
mkdir -p "$vault/journal"
printf -- '---\ntags: [log]\n---\n# Lantern\n\nThe %s came on Monday and trimmed the wick.\n' "$word" > "$vault/journal/Lantern café.md"
for n in $(seq "$n_filler"); do
  printf '# Filler %s\n\nNothing of note on day %s.\n' "$n" "$n" > "$scratch/many/filler-$n.md"
done

n_passed=0
failed=()
# step NAME COMMAND...: passes if the command ends with 0.
step() {
  local name=$1 begun=$SECONDS rc=0
  shift
  timeout --kill-after=10 "$step_s" "$@" > "$scratch/log" 2>&1 < /dev/null || rc=$?
  if [ $rc -eq 0 ]; then
    n_passed=$((n_passed + 1))
    echo "pass  $name  ($(tail -n 1 "$scratch/log"), $((SECONDS - begun)) s)"
  else
    failed+=("$name")
    echo "FAIL  $name  (exit code $rc, $((SECONDS - begun)) s)"
    tail -n 40 "$scratch/log" | sed 's/^/      /'
  fi
}

py() { step "py_client $1${2:+ $2}" "$python" "$here/py_client.py" --synod "$synod" --data "$data" --word "$word" --vault "$vault" --transport "$1" ${url:+--url "$url"}; }
ts() {
  local script=$1 transport=$2 era=$3
  step "$script $transport $era${4:+ $4}" "$node" "$here/$script.mjs" --synod "$synod" --data "$data" --word "$word" --vault "$vault" \
    --tools "$tools" --transport "$transport" --era "$era" ${url:+--url "$url"}
}
no_server_left() {
  local until=$((SECONDS + 5)) left file words
  while :; do
    left=''
    for file in /proc/[0-9]*/cmdline; do
      words=$(tr '\0' ' ' 2>/dev/null < "$file")
      case $words in *" serve --"*"$data"*) left="$left $words;" ;; esac
    done 2>/dev/null
    [ -z "$left" ] && return 0
    [ $SECONDS -lt $until ] || { echo "      still running:$left"; return 1; }
    sleep 0.2
  done
}

url=''
step "index --wait" "$synod" index "$vault" "$scratch/many" --wait --data "$data"

# Alone: each stdio server is the writer of the data folder.
py stdio
py stdio-legacy
ts ts_v1 stdio legacy
ts ts_v2 stdio legacy
ts ts_v2 stdio auto
step "wire" "$python" "$here/wire.py" --synod "$synod" --data "$data" --word "$word"

# With an HTTP server as the writer; stdio servers beside it only read.
"$synod" serve --http 127.0.0.1:0 --data "$data" < /dev/null > "$scratch/server.out" 2> "$scratch/server.err" &
server=$!
for _ in $(seq 300); do
  url=$(grep -aoE 'listening on http://127\.0\.0\.1:[0-9]+' "$scratch/server.err" | head -n 1 | sed 's/listening on //')
  [ -n "$url" ] || ! kill -0 "$server" 2>/dev/null && break
  sleep 0.1
done
if [ -z "$url" ]; then
  failed+=("serve --http")
  echo "FAIL  serve --http  (no \`listening on\` within 30 s)"
  tail -n 40 "$scratch/server.err" | sed 's/^/      /'
  url=http://127.0.0.1:9 # nothing listens: the steps below fail, they are not skipped
fi
py http
py http-legacy
py sse
ts ts_v1 http legacy
ts ts_v1 sse legacy
ts ts_v2 http legacy
ts ts_v2 http auto
step "openapi" "$python" "$here/openapi.py" --url "$url"
step "inspector" "$here/inspector.sh" --synod "$synod" --data "$data" --word "$word" --url "$url" --tools "$tools"
py stdio "beside the HTTP server"
ts ts_v1 stdio legacy "beside the HTTP server"
stop_server
begun=$SECONDS
if left_behind=$(no_server_left); then
  n_passed=$((n_passed + 1))
  echo "pass  no server outlives its client  ($((SECONDS - begun)) s)"
else
  failed+=("no server outlives its client")
  echo "FAIL  no server outlives its client"
  echo "$left_behind"
fi

echo
echo "$n_passed passed, ${#failed[@]} failed"
[ ${#failed[@]} -eq 0 ] || { printf '  %s\n' "${failed[@]}"; exit 1; }

#!/usr/bin/env bash
# The Inspector's command line against synod: stdio and HTTP, legacy and modern era, with its strict schema lint.
#   inspector.sh --synod BINARY --data DIR --word WORD --url http://127.0.0.1:PORT --tools DIR
set -euo pipefail

while [ $# -gt 1 ]; do
  case $1 in
    --synod) synod=$2 ;;
    --data) data=$2 ;;
    --word) word=$2 ;;
    --url) url=$2 ;;
    --tools) tools=$(cd "$2" && pwd) ;;
    *) echo "inspector.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
: "${synod:?--synod is missing}" "${data:?--data is missing}" "${word:?--word is missing}" "${url:?--url is missing}" "${tools:?--tools is missing}"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The Inspector keeps files in the home folder and secrets in a key ring: give it neither of the person's own.
export HOME=$scratch MCP_INSPECTOR_SECRET_STORE=memory PATH="$tools/node_modules/.bin:$PATH"
node=$tools/node_modules/.bin/node

"$node" -e '
const [synod, data, url] = process.argv.slice(1);
const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => key.startsWith("SYNOD_")));
console.log(JSON.stringify({ mcpServers: {
  stdio: { command: synod, args: ["serve", "--stdio", "--data", data], env },
  http: { type: "streamable-http", url: `${url}/mcp` },
} }))' "$synod" "$data" "$url" > "$scratch/config.json"

n_checks=0
# check LABEL JAVASCRIPT-CONDITION-ON-result INSPECTOR-OPTIONS...
check() {
  local label=$1 condition=$2 rc=0
  shift 2
  timeout 60 inspector --cli --config "$scratch/config.json" --format json "$@" > "$scratch/out" 2> "$scratch/err" || rc=$?
  if [ $rc -ne 0 ] || ! "$node" -e '
    const result = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")).result;
    process.exit(new Function("result", "word", `return (${process.argv[2]})`)(result, process.argv[3]) ? 0 : 1)' \
    "$scratch/out" "$condition" "$word"; then
    echo "FAIL $label: exit code $rc"
    head -c 2000 "$scratch/out"
    tail -n 40 "$scratch/err"
    exit 1
  fi
  n_checks=$((n_checks + 1))
  echo "  $label"
}

for server in stdio http; do
  for era in legacy modern; do
    version=2025-11-25
    [ $era = modern ] && version=2026-07-28
    on="$server, $era:"
    with=(--server $server --protocol-era $era)
    check "$on speaks $version" "result.protocolVersion === '$version'" "${with[@]}" --method initialize
    check "$on the tool list passes the strict lint" "result.tools.length >= 5" "${with[@]}" --method tools/list --strict
    check "$on search finds the word" "!result.isError && result.structuredContent.hits.length > 0" \
      "${with[@]}" --method tools/call --tool-name search --tool-args-json "{\"query\": \"$word\"}"
    check "$on lists resources" "result.resources.some((resource) => resource.uri.startsWith('note://'))" \
      "${with[@]}" --method resources/list
    check "$on lists resource templates" "result.resourceTemplates.length >= 2" "${with[@]}" --method resources/templates/list
    check "$on lists prompts" "result.prompts.some((prompt) => prompt.name === 'answer_from_vault')" \
      "${with[@]}" --method prompts/list
  done
done

# A tool error has an exit code of its own, so a script sees it.
rc=0
timeout 60 inspector --cli --config "$scratch/config.json" --server stdio --method tools/call --tool-name read \
  --tool-args-json '{"path": "no/such/note.md"}' > "$scratch/out" 2>&1 || rc=$?
[ $rc -eq 5 ] || { echo "FAIL a tool error ends the Inspector with 5; found $rc"; cat "$scratch/out"; exit 1; }
echo "  a tool error ends the Inspector with 5"
echo "ok $((n_checks + 1)) checks"

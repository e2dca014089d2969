#!/usr/bin/env bash
# Asks a council over REST with curl: a question left as a task, its events, its result, and a word on the truth.
#   council.sh http://127.0.0.1:7717 "How many legs has a spider?" 8
set -euo pipefail
base=$1 question=$2 truth=$3
# Beyond loopback: TOKEN=$(synod token add me --scopes read:context,read:jobs,llm:invoke)
auth=(${TOKEN:+-H "Authorization: Bearer $TOKEN"})
field() { python3 -c 'import json,sys; v=json.load(sys.stdin)
for k in sys.argv[1].split("."): v=v[int(k)] if k.isdigit() else v[k]
print(v)' "$1"; }
body=$(python3 -c 'import json,sys; print(json.dumps({"kind": "orchestrate", "input": {"query": sys.argv[1]}}))' "$question")

# The same key twice is the same request: a repeated POST asks nobody again.
task=$(curl -sSf "${auth[@]}" -H 'Content-Type: application/json' -H "Idempotency-Key: $(date +%s)-$$" \
  -d "$body" "$base/v1/tasks" | field job)
# Server-sent events until it has ended; `Last-Event-ID` goes on where a stream was cut.
curl -sSfN "${auth[@]}" "$base/v1/tasks/$task/stream" | grep '^event:' | sort | uniq -c >&2

result=$(curl -sSf "${auth[@]}" "$base/v1/tasks/$task/result")
verdict=$(field result.verdict.id <<< "$result")
echo "answer: $(field result.verdict.answer <<< "$result")"
echo "trust:  $(field result.verdict.trust <<< "$result")"
# What the council says can be computed again, and taught.
echo "same:   $(curl -sSf "${auth[@]}" "$base/v1/trust-score/$verdict" | field same)"
told=$(python3 -c 'import json,sys; print(json.dumps({"id": sys.argv[1], "correct": sys.argv[2]}))' "$verdict" "$truth")
curl -sSf "${auth[@]}" -H 'Content-Type: application/json' -d "$told" "$base/v1/feedback" > /dev/null

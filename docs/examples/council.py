"""Asks a council over REST, with nothing but Python's standard library.

    council.py http://127.0.0.1:7717 "How many legs has a spider?"
Beyond loopback set TOKEN to what `synod token add` printed.
"""

import json
import os
import sys
import urllib.error
import urllib.request


def call(base, path, body=None):
    headers = {"Content-Type": "application/json"}
    if os.environ.get("TOKEN"):
        headers["Authorization"] = f"Bearer {os.environ['TOKEN']}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, headers)
    try:
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        fault = json.load(error)["error"]
        raise SystemExit(f"{fault['message']}; {fault['hint']}") from None


def main(base, question):
    reply = call(base, "/v1/orchestrate", {"query": question, "deadline_ms": 40_000})
    while reply["state"] == "running":
        # What took longer goes on as a job; its events are at /v1/tasks/ID/stream.
        reply = call(base, f"/v1/orchestrate/{reply['job']}/results")
    verdict = reply["verdict"]
    print(f"answer: {verdict['answer']}")
    print(f"trust:  {verdict['trust']} ({verdict['words']})")
    for other in verdict["dissent"]:
        print(f"but {other['model']}: {other['answer']}")
    print(f"asked:  {', '.join(reply['decision']['panel'])}; {reply['decision']['stopped_because']}")


if __name__ == "__main__":
    main(*sys.argv[1:3])

"""A real Ollama with one embedding model: serves until its standard input ends.

    ollama.py OLLAMA MODEL_FOLDER STATE_FOLDER NAME

Prints its URL once the model answers. The model goes in over the HTTP API, which takes relative
paths; the command line uploads files by their base names and mixes two of them up.

Then each line of standard input is an order, and `done` is printed behind it: `unload` (the model
leaves memory), `stop` and `go` (the server does not answer, and does again), `other` (the name
belongs to another model from then on: the same weights with a licence, which is another digest).
"""

import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

# What the import does not understand.
LEFT_OUT = {"config_sentence_transformers.json", "data_config.json", "sentence_bert_config.json", "synod.json"}
PATIENCE_S = 120


def ask(url, data=None, method=None):
    request = urllib.request.Request(url, data=data, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
        return reply.read()


def is_there(url):
    try:
        ask(url, method="HEAD")
        return True
    except (urllib.error.URLError, ConnectionError):
        return False


def post(url, body):
    return ask(url, json.dumps(body).encode(), "POST")


def take_in(base, folder, name, **more):
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".json", ".safetensors") or path.name in LEFT_OUT:
            continue
        data = path.read_bytes()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        files[path.relative_to(folder).as_posix()] = digest
        # To send a blob that is there already breaks the connection.
        if not is_there(f"{base}/api/blobs/{digest}"):
            ask(f"{base}/api/blobs/{digest}", data, "POST")
    post(f"{base}/api/create", {"model": name, "files": files, "stream": False, **more})


def unload(base, name):
    post(f"{base}/api/generate", {"model": name, "keep_alive": 0})
    until = time.monotonic() + PATIENCE_S
    while json.loads(ask(f"{base}/api/ps"))["models"]:
        assert time.monotonic() < until, "it stays in memory"
        time.sleep(0.05)


def main():
    program, folder, state, name = sys.argv[1], *map(pathlib.Path, sys.argv[2:4]), sys.argv[4]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = "127.0.0.1:%d" % free.getsockname()[1]
    state.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, OLLAMA_HOST=host, OLLAMA_MODELS=str(state / "models"), HOME=str(state))
    with open(state / "ollama.log", "ab") as log:
        server = subprocess.Popen([program, "serve"], env=env, stdout=log, stderr=log)
    try:
        base = f"http://{host}"
        until = time.monotonic() + PATIENCE_S
        while not is_there(base):
            if time.monotonic() > until or server.poll() is not None:
                sys.exit((state / "ollama.log").read_text()[-2000:])
            time.sleep(0.05)
        take_in(base, folder, name)
        print(base, flush=True)
        orders = {
            "unload": lambda: unload(base, name),
            "stop": lambda: server.send_signal(signal.SIGSTOP),
            "go": lambda: server.send_signal(signal.SIGCONT),
            "other": lambda: take_in(base, folder, name, license="as it is"),
        }
        for line in sys.stdin:
            orders[line.strip()]()
            print("done", flush=True)
    finally:
        # One that is stopped would not hear of its end.
        server.send_signal(signal.SIGCONT)
        server.terminate()
        server.wait()


main()

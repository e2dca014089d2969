#!/usr/bin/env python3
"""synod's search beside two published search servers for notes, on the same judged questions (Linux, x86-64).

    python3 tests/bench/search_peers.py [--set FOLDER] [--queries N] [--synod PATH] [--work DIR] [--onnx FILE]
                                        [--model FOLDER] [--engines NAMES]
Every engine indexes the set's files from nothing in a process of its own, one engine after the other. Then each answers
over MCP on stdio, one question at a time, after a few that do not count; the engines take turns, so that all meet the
same load. A time is from sending a request to the end of the reply's line. Scores are those of `synod eval`: nDCG@10
with linear gains and recall@10, over files. Prints a Markdown table; `search-SET.csv` in the work folder has the same
rows. npm packages (2 GB) are installed in the work folder, once, and node too where the one on the PATH is older than
the peers need. The model comes from `tests/model.sh target/models`, its ONNX export from `tests/bench/peers.py`.

- synod, hybrid: as it is. synod, lexical: an index without vectors, `"mode": "lexical"`.
- qmd, lexical: its tool `query` with the question as one `lex` search and no reranking, which is `qmd search`. A
  document must have every word then, as qmd means it: its `lex` searches are keywords that a model picks. "lexical, by
  word" sends up to ten words of the question as searches of their own, which qmd fuses. Its other searches (`vsearch`,
  `query` with a model) need GGUF weights, which no package registry has: not measured.
- mcp-local-rag, hybrid: its defaults, f32 vectors and words, with the weights that synod uses. It answers with
  passages, so it is asked for 20 and a file counts where its first passage stands (more do not score better, and take
  longer). It reads no source code, only prose.
"""

import argparse
import gzip
import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

sys.dont_write_bytecode = True  # nothing of ours in the source folder
from peers import ROOT, json_lines, last_line, show

TOP, PASSAGES, SEARCHES_MAX, TURN, LIMIT_S, READY_S, POLL_S = 10, 20, 10, 20, 3600, 120, 0.1
WARM_UP = ("how are the notes organised", "a list of books", "what to do next week", "distributed systems", "the end")
NODE_MIN, NODE = 22, "node@22.23.3"
PACKAGES = {"qmd": "@tobilu/qmd@2.8.3", "mcp-local-rag": "mcp-local-rag@0.19.1"}
MODEL_NAME, NOWHERE = "Xenova/all-MiniLM-L6-v2", "http://127.0.0.1:9"  # a port that nobody serves: no downloads
COLUMNS = "engine mode questions ndcg10 recall10 query_p50_ms query_p99_ms index_s note".split()

class Failure(Exception):
    """What stopped an engine, in words."""

# Judged sets of notes: read, laid out and scored as `src/eval/set.rs` and `src/eval.rs` do.

def lay_out(source, folder):
    """Puts the set's documents into `folder`; gives where they lie, and a function from a document's id to its path."""
    folder.mkdir(parents=True)
    archive = source / "tree.tar.gz"
    if archive.exists():
        finish(["tar", "-xzf", archive, "-C", folder], os.environ)
        return folder / "tree", lambda document: document
    for document in json_lines(source / "corpus.jsonl.gz"):
        path = folder / path_of(document.get("path", ""), document["id"])
        title, text = document.get("title", ""), document.get("text", "")
        if ".." in path.parts:
            raise Failure(f"{source}: {document['id']} leaves the folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {title}\n\n{text}\n" if title else text, encoding="utf-8")
    return folder, lambda document: path_of("", document)

def path_of(path, document):
    return document.replace("#", "/part_") if "#" in document else path or f"{document}.md"

def read_questions(source, path):
    """The questions that have judged documents: text, and grade by path."""
    judged = {}
    with gzip.open(source / "qrels.tsv.gz", "rt", encoding="utf-8") as lines:
        next(lines, None)
        for question, document, score in (line.rstrip("\n").split("\t") for line in lines):
            if float(score) > 0:
                judged.setdefault(question, {})[path(document)] = float(score)
    questions = json_lines(source / "queries.jsonl.gz")
    return [(question["text"], judged[question["id"]]) for question in questions if question["id"] in judged]

def rate(ranked, judged):
    """nDCG@10 and recall@10 of one ranking."""
    gained = lambda grades: sum(grade / math.log2(rank + 2) for rank, grade in enumerate(grades[:TOP]))
    grades = [judged.get(path, 0.0) for path in ranked[:TOP]]
    ideal = gained(sorted(judged.values(), reverse=True))
    return gained(grades) / ideal, sum(grade > 0 for grade in grades) / len(judged)

# Programs: none gets the person's home folder or settings.

def environment(home, **more):
    """Variables for a program that is measured; its settings, caches and data go below `home`."""
    folders = {"HOME": "", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data",
               "XDG_STATE_HOME": "state"}
    home.mkdir(parents=True, exist_ok=True)
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"} | {name: str(home / at) for name, at in folders.items()} | {
        name: str(value) for name, value in more.items()}

def finish(command, variables, folder=None):
    """Runs a program to its end; what it printed."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(list(map(str, command)), env=variables, cwd=folder, capture_output=True, text=True,
                              timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{name}: {getattr(error, 'strerror', f'not done in {LIMIT_S} s')}") from error
    if done.returncode:
        raise Failure(f"{name}: {last_line(done.stderr) or last_line(done.stdout) or f'exit code {done.returncode}'}")
    return done.stdout

class Server:
    """An MCP server on stdio: JSON-RPC, a message a line. What it says besides goes to `log`."""

    def __init__(self, command, variables, log):
        self.name, self.log, self.last = Path(command[0]).name, log, 0
        with open(log, "w", encoding="utf-8") as said:
            try:
                # In a session of its own, so that all that it starts can be ended and counted.
                self.process = subprocess.Popen(list(map(str, command)), env=variables, cwd=log.parent, stderr=said,
                                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
            except OSError as error:
                raise Failure(f"{self.name}: {error.strerror}") from error
        self.limit = threading.Timer(LIMIT_S, self.kill)
        self.limit.daemon = True
        self.limit.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.limit.cancel()
        try:
            self.process.stdin.close()
            self.process.wait(30)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self.kill()
        self.process.wait()

    def kill(self):
        """Ends what is left of it, without mercy."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def greet(self):
        who = {"name": Path(sys.argv[0]).stem, "version": "1"}
        self.request("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": who})
        self.send({"method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
        self.process.stdin.flush()

    def request(self, method, params):
        """The reply, and the milliseconds that it took."""
        self.last += 1
        start = time.perf_counter()
        try:
            self.send({"id": self.last, "method": method, "params": params})
            while line := self.process.stdout.readline():
                milliseconds = (time.perf_counter() - start) * 1e3
                reply = json.loads(line)
                if reply.get("id") == self.last:
                    return reply, milliseconds
        except (OSError, ValueError) as error:
            raise Failure(f"{self.name}: {error}; see {self.log.name}") from error
        raise Failure(f"{self.name} ended: {last_line(self.log.read_text(errors='replace'))}")

    def call(self, tool, arguments):
        """What a tool answers, why it refuses if it does, and the milliseconds that it took."""
        reply, milliseconds = self.request("tools/call", {"name": tool, "arguments": arguments})
        result = reply.get("result", {})
        refused = reply.get("error", {}).get("message", "")
        if result.get("isError"):
            refused = last_line(result["content"][0]["text"])
        return result, refused, milliseconds

# Packages and models.

def install(args):
    """Puts the peers into the work folder, and node on the PATH; why which peer is missing."""
    home = environment(args.work / "home", npm_config_cache=args.work / "npm-cache")
    found = re.match(r"v(\d+)", finish(["node", "--version"], home))
    if not found or int(found[1]) < NODE_MIN:
        add_package(args, "node", NODE, home)
        os.environ["PATH"] = f"{args.work / 'npm/node/node_modules/node/bin'}{os.pathsep}{os.environ['PATH']}"
    missing = {}
    for peer in set(args.engines) & set(PACKAGES):
        try:
            # What the packages would build or fetch on their own is not needed.
            add_package(args, peer, PACKAGES[peer], home, "--ignore-scripts")
        except Failure as failure:
            missing[peer] = f"not installed: {failure}"
    return missing

def add_package(args, folder, package, variables, *options):
    """Installs a package into a folder of its own, unless it is there."""
    name, _, version = package.rpartition("@")
    record = args.work / "npm" / folder / "node_modules" / name / "package.json"
    if record.exists() and json.loads(record.read_text())["version"] == version:
        return
    print("installing", package, file=sys.stderr)
    prefix = args.work / "npm" / folder
    prefix.mkdir(parents=True, exist_ok=True)
    finish(["npm", "install", "--no-audit", "--no-fund", *options, "--prefix", prefix, package], os.environ | variables)

def lay_out_model(args):
    """The model as Transformers.js looks for it in its cache; gives the cache's folder."""
    cache = args.work / "transformers"
    folder = cache / MODEL_NAME
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(args.model / name, folder)
    weights = args.onnx.read_bytes()
    (folder / "onnx/model.onnx").write_bytes(weights + OUTPUT * (b"last_hidden_state" not in weights))
    return cache

def message(number, value):
    """A field of a protocol-buffer message that holds bytes, fewer than 128."""
    value = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(value)]) + value

# Transformers.js wants an output called `last_hidden_state`, and peers.py calls it `hidden`. Messages one behind the
# other are merged when read, so this much more of a model adds a node and an output to the graph (field 7) before it.
COPY = message(1, "hidden") + message(2, "last_hidden_state") + message(4, "Identity")  # a node: in, out, operator
FLOATS = message(1, bytes([1 << 3, 1]))  # a type: a tensor, its elements of type 1
OUTPUT = message(7, message(1, COPY) + message(12, message(1, "last_hidden_state") + message(2, FLOATS)))

# Engines.

@dataclass
class Engine:
    """How to index with it and how to ask it, and what came of that."""
    name: str
    mode: str
    index: Callable  # indexes, returns when all can be found
    serve: list
    variables: dict
    tool: str
    arguments: Callable  # of the question
    hits: Callable  # in the tool's answer, best first: path and text
    waits_for: Callable = lambda result: ""  # what the answer lacks yet
    server: Server | None = None
    replies: list = field(default_factory=list)  # for each question: score, milliseconds, why refused, files found
    row: dict = field(default_factory=dict)  # of the table

def synod(args, notes, run, mode):
    """synod; without a model to find where words are all."""
    words = mode == "lexical"
    variables = environment(run, SYNOD_MODELS=run / "none" if words else args.model.parent)
    command = [args.synod, "--data", run / "index"]
    return Engine(
        "synod", mode, lambda: finish([*command, "index", notes, "--wait", *["--lexical-only"] * words], variables),
        [*command, "serve", "--stdio"], variables, "search",
        lambda question: {"query": question, "limit": TOP} | ({"mode": mode} if words else {}),
        lambda result: [(hit["path"], hit["snippet"]) for hit in result["structuredContent"]["hits"]], synod_waits_for)

def synod_waits_for(result):
    content = result["structuredContent"]
    return ", ".join(content.get("degraded", [])) or (f"{content['pending']} files" if content.get("pending") else "")

def qmd(args, notes, run, mode):
    variables = environment(run, QMD_FORCE_CPU="1")
    command = [args.work / "npm/qmd/node_modules/.bin/qmd"]
    searches = lambda question: words_of(question) if mode.endswith("by word") else [question]
    return Engine(
        "qmd", mode, lambda: finish([*command, "collection", "add", notes, "--name", "notes"], variables, run),
        [*command, "mcp"], variables, "query",
        lambda question: {"searches": [{"type": "lex", "query": search} for search in searches(question)],
                          "rerank": False, "limit": TOP},
        lambda result: [(found["file"].partition("/")[2], found["snippet"])
                        for found in result["structuredContent"]["results"]])

def words_of(question):
    """As many words as qmd takes searches: the longest, in their order."""
    words = list(dict.fromkeys(re.findall(r"\w+", question)))
    longest = sorted(words, key=len, reverse=True)[:SEARCHES_MAX]
    return [word for word in words if word in longest]

def local_rag(args, notes, run, mode):
    variables = environment(run, BASE_DIR=notes, DB_PATH=run / "index", CACHE_DIR=args.work / "transformers",
                            MODEL_NAME=MODEL_NAME, HF_ENDPOINT=NOWHERE)
    command = [args.work / "npm/mcp-local-rag/node_modules/.bin/mcp-local-rag"]
    return Engine(
        "mcp-local-rag", mode, lambda: index_local_rag(command, variables, run), command, variables, "query_documents",
        lambda question: {"query": question, "limit": PASSAGES},
        lambda result: [(os.path.relpath(found["filePath"], notes), found["text"]) for found in rag_content(result)])

def rag_content(result):
    return json.loads(result["content"][0]["text"])

def index_local_rag(command, variables, run):
    """Has mcp-local-rag take in its folder."""
    with Server(command, variables, run / "index.log") as server:
        server.greet()
        finish_sync(server, start_sync(server))

def start_sync(server):
    """Has a running mcp-local-rag compare its folder; the job's id."""
    result, refused, _ = server.call("sync_start", {})
    if refused:
        raise Failure(f"mcp-local-rag: {refused}")
    return rag_content(result)["jobId"]

def finish_sync(server, job):
    while True:
        result, refused, _ = server.call("sync_status", {"jobId": job})
        state = {"state": "refused", "error": refused} if refused else rag_content(result)
        if state["state"] == "succeeded":
            return
        if state["state"] != "running":
            raise Failure(f"mcp-local-rag: {state['error']}")
        time.sleep(POLL_S)

# Steps: each is taken with every engine before the next one is.

def attempt(step, engine, *more):
    """Takes a step, unless one before it failed; a failure is noted in the engine's row."""
    if "note" not in engine.row:
        try:
            step(engine, *more)
        except Failure as failure:
            engine.row["note"] = str(failure)

def index(engine):
    print("indexing with", engine.name, engine.mode, file=sys.stderr)
    start = time.perf_counter()
    engine.index()
    engine.row["index_s"] = time.perf_counter() - start

def serve(engine, run, servers):
    """Starts the engine's server and asks what does not count, until all of the index is there."""
    server = engine.server = servers.enter_context(Server(engine.serve, engine.variables, run / "serve.log"))
    server.greet()
    end = time.monotonic() + READY_S
    for question in WARM_UP:
        result, refused, _ = server.call(engine.tool, engine.arguments(question))
        while not refused and (wanting := engine.waits_for(result)):
            if time.monotonic() > end:
                raise Failure(f"after {READY_S} s still without {wanting}")
            time.sleep(POLL_S)
            result, refused, _ = server.call(engine.tool, engine.arguments(question))
        if refused:
            raise Failure(f"{engine.name}: {refused}")

def ask(engine, questions):
    """One turn. What is refused finds nothing."""
    for text, judged in questions:
        result, refused, milliseconds = engine.server.call(engine.tool, engine.arguments(text))
        ranked = [] if refused else list(dict.fromkeys(path for path, _ in engine.hits(result)))
        engine.replies.append((rate(ranked, judged), milliseconds, refused, len(ranked)))

def summarise(engine):
    """Means over the questions."""
    scores, times, refusals, found = zip(*engine.replies)
    ndcg, recall = map(statistics.fmean, zip(*scores))
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    refused, empty = [text for text in refusals if text], found.count(0)
    notes = [f"{empty} found nothing"] * bool(empty) + [f"{len(refused)} refused: {text}" for text in refused[:1]]
    engine.row |= {"questions": str(len(times)), "ndcg10": ndcg, "recall10": recall, "query_p50_ms": cuts[49],
                   "query_p99_ms": cuts[98], "note": "; ".join(notes)}

ENGINES = ((synod, "synod", "hybrid"), (synod, "synod", "lexical"), (qmd, "qmd", "lexical"),
           (qmd, "qmd", "lexical, by word"), (local_rag, "mcp-local-rag", "hybrid"))
UNMEASURED = {"engine": "qmd", "mode": "vsearch, query", "note": "needs GGUF weights that cannot be had here"}

def arguments():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default, what in (
            ("set", ROOT.parent / "shared/data/retrieval/vault-garden", "folder of the judged set, of notes"),
            ("queries", 200, "its first questions that are asked"), ("synod", ROOT / "target/release/synod", "synod"),
            ("work", ROOT / "target/bench-peers", "folder of all that is written"),
            ("onnx", ROOT / "target/bench-peers/f32.onnx", "the model as tests/bench/peers.py exports it"),
            ("model", ROOT / "target/models/all-MiniLM-L6-v2", "its folder"),
            ("engines", "synod,qmd,mcp-local-rag", "those that are compared")):
        parser.add_argument(f"--{name}", type=type(default), default=default, help=what)
    args = parser.parse_args()
    for name in ("set", "synod", "work", "onnx", "model"):
        setattr(args, name, getattr(args, name).resolve())
    if args.queries < 2:
        sys.exit("--queries: at least 2")
    args.engines = args.engines.split(",")
    if unknown := set(args.engines) - {"synod", *PACKAGES}:
        sys.exit(f"--engines: {', '.join(sorted(unknown))}: there are synod, {', '.join(PACKAGES)}")
    for needed in (args.set / "queries.jsonl.gz", args.set / "qrels.tsv.gz", args.synod, args.onnx,
                   args.model / "tokenizer.json", args.model / "model.safetensors"):
        if not needed.is_file():
            sys.exit(f"{needed} is missing; see --help")
    return args

def main():
    args = arguments()
    here = args.work / "search" / args.set.name
    shutil.rmtree(here, ignore_errors=True)
    try:
        notes, path = lay_out(args.set, here / "documents")
        questions = read_questions(args.set, path)[: args.queries]
    except (Failure, OSError, EOFError, ValueError, KeyError) as error:
        sys.exit(f"{args.set}: {error}")
    notes_asked = [judged for _, judged in questions if any(name.endswith(".md") for name in judged)]
    if len(notes_asked) < 2 or args.set.name == "cosqa":
        sys.exit(f"{args.set}: not a set of notes, which is all that the peers read here")
    try:
        version = finish([args.synod, "--version"], environment(args.work / "home")).strip()
        missing = install(args)
    except Failure as failure:
        sys.exit(str(failure))
    lay_out_model(args)
    print(version, *PACKAGES.values(), f"load before {os.getloadavg()}", sep=", ")
    rows = [engine.row for engine in compare(args, notes, questions, here, missing)]
    rows += [UNMEASURED] * ("qmd" in args.engines)
    title = f"Search in {args.set.name}, {sum(path.is_file() for path in notes.rglob('*'))} files, best {TOP}"
    show(title, args.work / f"search-{args.set.name}.csv", COLUMNS, rows)

def compare(args, notes, questions, here, missing):
    """The engines, measured."""
    engines = {}
    for make, name, mode in ENGINES:
        if name in args.engines:
            run = here / f"{name} {mode}"
            run.mkdir()
            engine = engines[run] = make(args, notes, run, mode)
            engine.row = {"engine": name, "mode": mode} | ({"note": missing[name]} if name in missing else {})
            attempt(index, engine)
    with ExitStack() as servers:
        for run, engine in engines.items():
            attempt(serve, engine, run, servers)
        for first in range(0, len(questions), TURN):
            for engine in engines.values():
                attempt(ask, engine, questions[first : first + TURN])
    for engine in engines.values():
        attempt(summarise, engine)
    return engines.values()

if __name__ == "__main__":
    main()

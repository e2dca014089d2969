#!/usr/bin/env python3
"""How soon synod and published servers for notes find what was edited, on the same edits (Linux, x86-64).

    python3 tests/bench/fresh_peers.py [--notes FOLDER] [--count N] [--rounds N] [--branch N] [--engines NAMES]
                                       [--csv FILE] [--synod PATH] [--work DIR] [--onnx FILE] [--model FOLDER]
Each engine gets a copy of the same notes (of the judged set vault-garden, which SYNOD_JUDGED/retrieval has), indexes it
from nothing, and serves it over MCP on stdio; one engine runs at a time. When it has nothing left to do, it meets the
same edits in the same order as every other: first while its server runs, then all at once while nothing of it runs.

An edit puts a line into a note, or takes one out, with a made-up word that stands nowhere else and six words of the
notes. The line is searched until what should be found is (its path, and the word in the text that is shown)
and what should not be found is not, while a note that nobody touched is found. Between two rounds of questions are 50
ms, or twice what those took that were asked in vain, so that asking leaves the engine time. A time is from the end of
the edit, or the start of the server, to the reply that is right. What is not found within 30 s is asked for 30 s more;
what is not found then may be found later still.

How each one notices:
- synod, basic-memory, markdown-vault-mcp: by their own watchers, as they are set by default. basic-memory writes its
  front matter into notes, so its copy changes more than the others'. Of it this is the last version whose search by
  meaning can be switched off; later ones want a model that cannot be had here.
- qmd has none: `qmd update`, as its README says, is run after each edit beside its server; the time includes it.
- mcp-local-rag has none: its tool `sync_start` is called after each edit; the time includes it.
synod has its embedding model; "+word" requires the made-up word, as its tool says it can be, which leaves ranking out;
"words" has no model. mcp-local-rag has the same weights in f32. qmd's `lex` searches, basic-memory's text and
markdown-vault-mcp's keywords need no model.

Prints a Markdown table; `--csv` has each edit. CPU seconds are those of the server and of updates during the edits
while it runs, our searches included. Packages are installed in the work folder, once, as tests/bench/search_peers.py
does; basic-memory and markdown-vault-mcp need Python 3.12. An engine that fails is named, and the exit code is 1.
"""

import argparse
import os
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

sys.dont_write_bytecode = True  # nothing of ours in the source folder
from peers import ROOT, print_table, write_csv
from search_peers import (PACKAGES as NPM, Engine, Failure, Server, environment, finish, finish_sync, install, lay_out,
                          lay_out_model, local_rag, qmd, serve, start_sync, synod)

SEED, OTHERS = 5, 6
FOLDER, SAMPLE = 10, 10  # notes in a folder that is moved; files of a branch that are asked for
SOON_MS, LIMIT_S, PATIENCE_S, POLL_S, REST = 1_000, 30, 30, 0.05, 2
READY_S, QUIET_S, QUIET_CPU_S = 300, 15, 0.5
PAUSE_S = 0.5, 1.5  # between edits, so that no engine's rhythm is met by ours
ONSETS = "b d f g k l m n p r t v br tr st".split()
PYTHON_MIN = 3, 12
PIP = {"basic-memory": "basic-memory==0.23.2", "markdown-vault-mcp": "markdown-vault-mcp[file-watcher]==5.1.0"}
GIT = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0", "-c", "core.hooksPath="]
SINGLE = "new note", "edited", "saved by rename", "saved by hidden rename", "moved", "deleted"
FOLDERS = "folder moved in", "folder moved out"
THERE, BACK = "branch checked out", "and back"

# Edits.

@dataclass(frozen=True)
class Mark:
    """A line that stands in one note only. No two have a word in common but by chance: what engines that search by
    meaning too should find is one of them, and not the others."""
    word: str
    line: str

@dataclass(frozen=True)
class Check:
    """Whether the mark should be found in the note at this path, or not at all there."""
    path: str
    mark: Mark
    there: bool

@dataclass
class Edit:
    kind: str
    round: int
    change: Callable  # of the engine's folder of notes; what is timed begins at its end
    checks: list
    prepare: Callable = lambda notes: None  # what is done before, outside of the notes
    pause: float = 0

class Plan:
    """All edits, the same for every engine, and the notes as they are before them."""

    def __init__(self, template, rounds, branch):
        self.template, self.dice = template, random.Random(SEED)
        paths = sorted(path.relative_to(template).as_posix() for path in template.rglob("*.md"))
        text = "\n".join((template / path).read_text(encoding="utf-8") for path in paths).lower()
        counts = Counter(re.findall(r"(?<![\w'])[a-z]{6,10}(?![\w'])", text))
        self.words = sorted(word for word, count in counts.items() if 3 <= count <= 30)
        self.taken = set(re.findall(r"[a-z]+", text))
        self.free = self.dice.sample(paths, len(paths))
        self.control = self.marked()
        self.warm_up = self.new_note(0)
        self.running = [edit for kind in (*SINGLE, *FOLDERS) for edit in self.some(kind, rounds)]
        self.dice.shuffle(self.running)
        self.running += self.checkouts("while it runs", branch)
        self.stopped = [edit for kind in (*SINGLE, *FOLDERS) for edit in self.some(kind, rounds)]
        self.stopped += self.checkouts("while it does not", branch)[:1]
        for edit in self.running:
            edit.pause = self.dice.uniform(*PAUSE_S)

    def coin(self):
        """A word that stands nowhere."""
        while True:
            syllables = [self.dice.choice(ONSETS) + self.dice.choice("aeiou") for _ in range(4)]
            word = "".join(syllables) + self.dice.choice("klmnrt")
            if word not in self.taken:
                self.taken.add(word)
                return word

    def mark(self):
        word, others = self.coin(), self.dice.sample(self.words, OTHERS)
        return Mark(word, " ".join([*others[: OTHERS // 2], word, *others[OTHERS // 2 :]]))

    def marked(self):
        """A note of the template that now has a mark: what is checked of it while nobody touches it."""
        if not self.free:
            sys.exit("too few notes for these rounds and this branch")
        path, mark = self.free.pop(), self.mark()
        insert(self.template / path, mark)
        return Check(path, mark, True)

    def some(self, kind, rounds):
        make = {"new note": self.new_note, "edited": self.edited, "moved": self.moved, "deleted": self.deleted,
                "saved by rename": lambda number: self.renamed_over(number, kind, ""),
                "saved by hidden rename": lambda number: self.renamed_over(number, kind, "."),
                "folder moved in": self.moved_in, "folder moved out": self.moved_out}[kind]
        return [make(number) for number in range(1, rounds + 1)]

    def fresh_note(self, folder):
        """Path, text and check of a note that is not there yet."""
        name, mark = self.coin(), self.mark()
        path = f"{folder}/{name}.md"
        return path, f"---\ntitle: {name}\n---\n\n{mark.line}\n", Check(path, mark, True)

    def new_note(self, number):
        path, text, check = self.fresh_note("thoughts")
        return Edit("new note", number, lambda notes: (notes / path).write_text(text), [check])

    def edited(self, number):
        before, mark = self.marked(), self.mark()
        change = lambda notes: (notes / before.path).write_text(replaced(notes / before.path, before.mark, mark))
        return Edit("edited", number, change, [Check(before.path, mark, True), gone(before)])

    def renamed_over(self, number, kind, dot):
        """A draft beside the note takes its place, as many editors and sync clients save."""
        before, mark = self.marked(), self.mark()

        def change(notes):
            target = notes / before.path
            draft = target.with_name(f"{dot}{target.name}.tmp")
            draft.write_text(replaced(target, before.mark, mark))
            draft.replace(target)
        return Edit(kind, number, change, [Check(before.path, mark, True), gone(before)])

    def moved(self, number):
        before = self.marked()
        path = f"posts/{self.coin()}.md"
        change = lambda notes: (notes / before.path).rename(notes / path)
        return Edit("moved", number, change, [Check(path, before.mark, True), gone(before)])

    def deleted(self, number):
        before = self.marked()
        return Edit("deleted", number, lambda notes: (notes / before.path).unlink(), [gone(before)])

    def moved_in(self, number):
        name = f"thoughts/{self.coin()}"
        made = [self.fresh_note(name) for _ in range(FOLDER)]

        def prepare(notes):
            for path, text, _ in made:
                write(outside(notes) / path, text)
        return Edit("folder moved in", number, lambda notes: (outside(notes) / name).rename(notes / name),
                    [check for _, _, check in made], prepare)

    def moved_out(self, number):
        name = f"thoughts/{self.coin()}"
        made = [self.fresh_note(name) for _ in range(FOLDER)]
        for path, text, _ in made:
            write(self.template / path, text)
        change = lambda notes: (notes / name).rename(outside(notes) / Path(name).name)
        return Edit("folder moved out", number, change, [gone(check) for _, _, check in made])

    def checkouts(self, name, branch):
        """A branch with so many changed notes, and some that are new and some that are not there; and back from it."""
        name = name.replace(" ", "-")
        base = [self.marked() for _ in range(branch)]
        removed = [self.marked() for _ in range(SAMPLE)]
        marks = [self.mark() for _ in base]
        added = [self.fresh_note(f"thoughts/{self.coin()}") for _ in range(SAMPLE)]
        sample = self.dice.sample(range(branch), min(SAMPLE, branch))

        def prepare(notes):
            """Commits what there is, and makes the branch beside it."""
            commit(notes)
            git(notes, "worktree", "add", "--quiet", "-b", name, outside(notes) / name)
            there = outside(notes) / name
            for before, mark in zip(base, marks):
                (there / before.path).write_text(replaced(there / before.path, before.mark, mark))
            for before in removed:
                (there / before.path).unlink()
            for path, text, _ in added:
                write(there / path, text)
            commit(there)
            git(notes, "worktree", "remove", "--force", there)
        new = [Check(base[at].path, marks[at], True) for at in sample] + [check for _, _, check in added]
        old = [base[at] for at in sample] + removed
        return [Edit(THERE, 1, lambda notes: git(notes, "checkout", "--quiet", "--force", name),
                     new + [gone(check) for check in old], prepare),
                Edit(BACK, 1, lambda notes: git(notes, "checkout", "--quiet", "--force", "main"),
                     old + [gone(check) for check in new], commit)]

def insert(note, mark):
    """Puts a mark in front of a note's text."""
    text = note.read_text(encoding="utf-8")
    front = re.match(r"---\n.*?\n---\n", text, re.DOTALL)
    at = front.end() if front else 0
    note.write_text(f"{text[:at]}\n{mark.line}\n\n{text[at:]}", encoding="utf-8")

def replaced(note, old, new):
    text = note.read_text(encoding="utf-8")
    if old.line not in text:
        raise Failure(f"{note.name} lost the line that is edited")
    return text.replace(old.line, new.line)

def gone(check):
    return Check(check.path, check.mark, False)

def outside(notes):
    folder = notes.parent / "outside"
    folder.mkdir(exist_ok=True)
    return folder

def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")

def git(notes, *command):
    finish([*GIT, *command], os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null"}, notes)

def commit(notes):
    git(notes, "add", "--all")
    git(notes, "commit", "--quiet", "--allow-empty", "--message", "As it is.")

# Engines that tests/bench/search_peers.py has not.

def basic_memory(args, notes, run, mode):
    variables = environment(run, BASIC_MEMORY_SEMANTIC_SEARCH_ENABLED="false", BASIC_MEMORY_AUTO_UPDATE="false")
    command = [args.work / "pip/basic-memory/bin/basic-memory"]

    def hits(result):
        found = result["structuredContent"]["result"]
        return [(hit["file_path"], str(hit.get("content"))) for hit in found["results"]]
    return Engine(
        "basic-memory", mode, lambda: finish([*command, "project", "add", "notes", notes, "--default"], variables, run),
        [*command, "mcp", "--project", "notes"], variables, "search_notes",
        lambda question: {"query": question, "output_format": "json"}, hits)

def markdown_vault(args, notes, run, mode):
    variables = environment(run, MARKDOWN_VAULT_MCP_SOURCE_DIR=notes, MARKDOWN_VAULT_MCP_INDEX_PATH=run / "index.db")
    command = [args.work / "pip/markdown-vault-mcp/bin/markdown-vault-mcp"]
    return Engine(
        "markdown-vault-mcp", mode, lambda: finish([*command, "index"], variables, run), [*command, "serve"], variables,
        "search", lambda question: {"query": question},
        lambda result: [(hit["path"], " ".join(section["content"] for section in hit["sections"]))
                        for hit in result["structuredContent"]["result"]])

# How an engine without a watcher is told; each gives what waits for its end, if anything does.

def update_qmd(engine, run):
    finish([engine.serve[0], "update"], engine.variables, run)

def sync_local_rag(engine, _run):
    job = start_sync(engine.server)
    return lambda: finish_sync(engine.server, job)

@dataclass
class Peer:
    make: Callable
    mode: str
    how: str
    update: Callable = lambda engine, run: None
    ask: Callable = lambda mark: mark.line
    figures: dict = field(default_factory=dict)
    edits: list = field(default_factory=list)  # rows of the CSV
    failure: str = ""

PEERS = {
    "synod": Peer(synod, "hybrid", "watcher"),
    "synod +word": Peer(synod, "hybrid", "watcher", ask=lambda mark: mark.line.replace(mark.word, f"+{mark.word}")),
    "synod words": Peer(synod, "lexical", "watcher"),
    "basic-memory": Peer(basic_memory, "text", "watcher"),
    "markdown-vault-mcp": Peer(markdown_vault, "keyword", "watcher"),
    "qmd": Peer(qmd, "lexical", "`qmd update` after each edit", update_qmd),
    "mcp-local-rag": Peer(local_rag, "hybrid", "`sync_start` after each edit", sync_local_rag),
}

def install_all(args):
    """Puts the peers into the work folder; why which one is missing."""
    missing = install(args) if set(args.engines) & set(NPM) else {}
    if "mcp-local-rag" in args.engines and "mcp-local-rag" not in missing:
        if args.onnx.is_file() and (args.model / "tokenizer.json").is_file():
            lay_out_model(args)
        else:
            missing["mcp-local-rag"] = f"not installed: {args.onnx} or {args.model / 'tokenizer.json'} is missing"
    for engine in set(args.engines) & set(PIP):
        try:
            add_environment(args.work / "pip" / engine, PIP[engine])
        except Failure as failure:
            missing[engine] = f"not installed: {failure}"
    return missing

def add_environment(folder, package):
    """Installs a Python package into an environment of its own, unless it is there."""
    record = folder / "package"
    if record.exists() and record.read_text() == package:
        return
    print("installing", package, file=sys.stderr)
    variables = environment(folder.parent / "home") | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    variables |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    finish([newer_python(), "-m", "venv", "--clear", folder], variables)
    finish([folder / "bin/python", "-m", "pip", "install", "--quiet", package], variables)
    record.write_text(package)

def newer_python():
    """A Python that is new enough for the peers."""
    if sys.version_info >= PYTHON_MIN:
        return sys.executable
    names = [shutil.which(f"python3.{minor}") for minor in range(PYTHON_MIN[1], 20)]
    for python in [name for name in names if name] + sorted(Path.home().glob(".pyenv/versions/3.*/bin/python")):
        tell = [python, "-c", "import sys; print(*sys.version_info[:2])"]
        said = subprocess.run(tell, capture_output=True, text=True)
        if said.returncode == 0 and tuple(map(int, said.stdout.split())) >= PYTHON_MIN:
            return python
    raise Failure("no Python 3.12 or newer")

# Measuring.

def holds(peer, engine, check, control):
    """Whether the engine says of one mark what is so."""
    def found(one):
        result, refused, _ = engine.server.call(engine.tool, engine.arguments(peer.ask(one.mark)))
        return None if refused else any(
            path == one.path and one.mark.word in text.lower() for path, text in engine.hits(result))
    if check.there:
        return found(check) is True
    return found(check) is False and found(control) is True  # an engine that finds nothing at all knows nothing

def wait_for(peer, engine, edits, control, start):
    """How many milliseconds after `start` each edit is as it should be, None if not in time, in their order."""
    waiting = {number: list(edit.checks) for number, edit in enumerate(edits)}
    times = {}
    while waiting and time.perf_counter() - start < LIMIT_S + PATIENCE_S:
        in_vain = 0.0
        for number, checks in list(waiting.items()):
            asked = time.perf_counter()
            while checks and holds(peer, engine, checks[0], control):
                checks.pop(0)
                asked = time.perf_counter()
            if checks:
                in_vain += time.perf_counter() - asked
            else:
                times[number] = (time.perf_counter() - start) * 1e3
                del waiting[number]
        time.sleep(max(POLL_S, REST * in_vain))
    return [times.get(number) for number in range(len(edits))]

def cpu_s(server):
    """Seconds that the server's session has computed, those that ended there included."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if int(fields[3]) == server.process.pid:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")

def wait_until_idle(server):
    """Until it computes nothing to speak of: what it still does after its start is no answer to an edit."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        before = cpu_s(server)
        time.sleep(QUIET_S)
        if cpu_s(server) - before < QUIET_CPU_S:
            return
    raise Failure(f"{server.name}: after {READY_S} s still not idle")

def updates_s():
    """CPU seconds of the programs that were run to their end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

def measure(args, peer, name, plan, run):
    """One engine, from an empty index to the last edit."""
    notes = run / "notes"
    shutil.copytree(plan.template, notes, symlinks=True)
    engine = peer.make(args, notes, run, peer.mode)
    print("indexing with", name, file=sys.stderr)
    start = time.perf_counter()
    engine.index()
    peer.figures["index_s"] = time.perf_counter() - start
    with ExitStack() as servers:
        serve(engine, run, servers)
        one(peer, engine, plan, plan.warm_up, run)
        if peer.edits.pop()["ms"] == "":
            raise Failure(f"{name}: a new note was not found, so nothing was measured")
        wait_until_idle(engine.server)
        print("editing with", name, file=sys.stderr)
        updated, before = 0.0, cpu_s(engine.server)
        for edit in plan.running:
            updated += one(peer, engine, plan, edit, run)
        peer.figures["cpu_s"] = cpu_s(engine.server) - before + updated
    for edit in plan.stopped:
        edit.prepare(notes)
        edit.change(notes)
    start = time.perf_counter()
    with Server(engine.serve, engine.variables, run / "again.log") as engine.server:
        engine.server.greet()
        done = peer.update(engine, run)
        times = wait_for(peer, engine, plan.stopped, plan.control, start)
        keep(peer, "stopped", plan.stopped, times)
        if done:
            done()

def one(peer, engine, plan, edit, run):
    """One edit while the server runs; gives the CPU seconds of an update that is a program."""
    notes = run / "notes"
    time.sleep(edit.pause)
    edit.prepare(notes)
    time.sleep(edit.pause)
    edit.change(notes)
    start, before = time.perf_counter(), updates_s()
    done = peer.update(engine, run)
    used = updates_s() - before
    keep(peer, "running", [edit], wait_for(peer, engine, [edit], plan.control, start))
    if done:
        done()
    return used

def keep(peer, when, edits, times):
    for edit, took in zip(edits, times):
        verdict = ("missed" if took is None else "late" if took > LIMIT_S * 1e3 else
                   "soon" if took <= SOON_MS else "within")
        peer.edits.append({"when": when, "edit": edit.kind, "round": edit.round, "verdict": verdict,
                           "ms": "" if took is None else round(took)})
        if verdict in ("late", "missed"):
            print(f"{peer.edits[-1]}", file=sys.stderr)

# Tables.

def summary(edits):
    """Median and slowest of those found in time, in milliseconds, and what was not."""
    took = [row["ms"] for row in edits if row["verdict"] in ("soon", "within")]
    said = [f"{statistics.median(took):,.0f} / {max(took):,}" if len(took) > 1 else f"{took[0]:,}"] if took else []
    late = [row["ms"] for row in edits if row["verdict"] == "late"]
    missed = sum(row["verdict"] == "missed" for row in edits)
    if late:
        said.append(f"{len(late)} of {len(edits)} late ({max(late):,})")
    if missed:
        said.append(f"{missed} of {len(edits)} not in {LIMIT_S + PATIENCE_S} s")
    return ", ".join(said)

def rows_of(peers):
    of = lambda when, kind: {name: summary([row for row in peer.edits if (row["when"], row["edit"]) == (when, kind)])
                             for name, peer in peers.items()}
    for kind in (*SINGLE, *FOLDERS, THERE, BACK):
        yield {"edit": kind} | of("running", kind)
    for kind in (*SINGLE, *FOLDERS, THERE):
        yield {"edit": f"{kind}, stopped"} | of("stopped", kind)
    for title, verdicts in (
            (f"all within {SOON_MS / 1000:.0f} s", ["soon"]), (f"all within {LIMIT_S} s", ["soon", "within"]),
            ("later", ["late"]), (f"not in {LIMIT_S + PATIENCE_S} s", ["missed"])):
        yield {"edit": title} | {
            name: f"{sum(row['verdict'] in verdicts for row in peer.edits)} of {len(peer.edits)}"
            for name, peer in peers.items()}
    yield {"edit": "CPU seconds"} | {name: f"{peer.figures['cpu_s']:.1f}" for name, peer in peers.items()}
    yield {"edit": "seconds to index"} | {name: f"{peer.figures['index_s']:.1f}" for name, peer in peers.items()}
    yield {"edit": "noticed by"} | {name: peer.how for name, peer in peers.items()}

def arguments():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    judged = Path(os.environ.get("SYNOD_JUDGED", ROOT.parent / "shared/data"))
    for name, default, what in (
            ("notes", judged / "retrieval/vault-garden", "folder of a judged set, or of Markdown notes"),
            ("count", 400, "how many of its notes, picked by chance; 0 are all"), ("rounds", 3, "edits of each kind"),
            ("branch", 100, "notes that a branch changes"), ("synod", ROOT / "target/release/synod", "synod"),
            ("work", ROOT / "target/bench-peers", "folder of all that is written"),
            ("onnx", ROOT / "target/bench-peers/f32.onnx", "the model as tests/bench/peers.py exports it"),
            ("model", ROOT / "target/models/all-MiniLM-L6-v2", "its folder"),
            ("engines", ",".join(PEERS), "those that are compared")):
        parser.add_argument(f"--{name}", type=type(default), default=default, help=what)
    parser.add_argument("--csv", type=Path, help="file for a row of each edit")
    args = parser.parse_args()
    for name in ("notes", "synod", "work", "onnx", "model"):
        setattr(args, name, getattr(args, name).resolve())
    args.engines = args.engines.split(",")
    if unknown := set(args.engines) - set(PEERS):
        sys.exit(f"--engines: {', '.join(sorted(unknown))}: there are {', '.join(PEERS)}")
    ours = [name for name in args.engines if PEERS[name].make is synod]
    needed = [args.synod] if ours else []
    needed += [args.model / "model.safetensors"] if set(ours) - {"synod words"} else []
    for file in needed:
        if not file.is_file():
            sys.exit(f"{file} is missing; see --help")
    return args

def lay_out_template(args, folder):
    """A copy of the notes, and the edits that are planned on it."""
    if (args.notes / "queries.jsonl.gz").exists():
        notes, _ = lay_out(args.notes, folder)
    else:
        notes = shutil.copytree(args.notes, folder / "tree", ignore=shutil.ignore_patterns(".git"))
    paths = sorted(notes.rglob("*.md"))
    for path in random.Random(SEED).sample(paths, max(0, len(paths) - args.count) if args.count else 0):
        path.unlink()
    for name in ("thoughts", "posts"):
        (notes / name).mkdir(exist_ok=True)
    plan = Plan(notes, args.rounds, args.branch)
    git(notes, "init", "--quiet", "--initial-branch", "main")
    commit(notes)
    return plan

def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and the engine's server with us
    here = args.work / "fresh"
    shutil.rmtree(here, ignore_errors=True)
    try:
        plan = lay_out_template(args, here / "template")
        missing = install_all(args)
    except (Failure, OSError) as failure:
        sys.exit(str(failure))
    files = sum(1 for _ in plan.template.rglob("*.md"))
    packages = {**NPM, **PIP}
    print(*(packages[name] for name in args.engines if name in packages), f"load before {os.getloadavg()}", sep=", ")
    measured = {}
    for name in args.engines:
        peer, run = PEERS[name], here / name
        run.mkdir()
        try:
            if name in missing:
                raise Failure(missing[name])
            measure(args, peer, name, plan, run)
            measured[name] = peer
        except (Failure, OSError, LookupError, TypeError, ValueError) as failure:
            peer.failure = str(failure) if isinstance(failure, Failure) else repr(failure)
            print(f"{name}: {peer.failure}", file=sys.stderr)
    title = (f"Milliseconds until found, median / slowest of {args.rounds}; {files} notes, a branch of {args.branch}"
             f" changed notes")
    print_table(title, ["edit", *measured], list(rows_of(measured)))
    if args.csv:
        write_csv(args.csv, ["engine", "when", "edit", "round", "ms", "verdict"],
                  [{"engine": name} | row for name, peer in measured.items() for row in peer.edits])
    failed = {name: PEERS[name].failure for name in args.engines if PEERS[name].failure}
    for name, failure in failed.items():
        print(f"\n{name} was not measured: {failure}")
    sys.exit(1 if failed else 0)

if __name__ == "__main__":
    main()

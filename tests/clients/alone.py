"""One static program and nothing else, in a root that holds only it and a vault.

No C library, no shell, no /proc, no /tmp, no device but those of random bytes, no network is there; then the same program
on a processor without AVX (qemu's Nehalem), by words and by meaning. Stops at the first failure with exit 1. Needs leave to
enter another root (root, or user namespaces); where that is refused, it says so and asks the program where it stands.
    alone.py --synod BINARY --vault FOLDER --models FOLDER --work FOLDER
"""

import argparse
import itertools
import os
import platform
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import wire
from wire import Stdio, check, initialize, request

FIRST_ANSWER_S, MODEL_S = 60, 120
QUERIES = ["hottest pool reading", "when may I not walk on the rocks", "batteri", "+\"spring tide\""]
INTERPRETER = 3  # the kind of ELF segment that names a program's loader
OLD = ["qemu-x86_64-static", "-cpu", "Nehalem"]


def is_static(program):
    """Whether an ELF file of 64 bits asks for no loader, and so for no library."""
    head = program.read_bytes()[: 1 << 16]
    assert head[:5] == b"\x7fELF\x02", "no ELF file of 64 bits"
    start, size, n = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    return all(struct.unpack_from("<I", head, start + size * at)[0] != INTERPRETER for at in range(n))


def cell(root):
    """The command that runs one in `root` without a network, if the system lets us. Of devices it has those of random bytes."""
    where = os.environ.get("PATH", "") + os.pathsep + os.pathsep.join(["/usr/sbin", "/sbin", "/usr/bin", "/bin"])
    tools = {name: shutil.which(name, path=where) for name in ("unshare", "chroot", "mount", "sh")}
    assert all(tools.values()), f"needed to enter another root: {tools}"
    (root / "dev").mkdir()
    mounts = ""
    for device in ("random", "urandom"):
        (root / "dev" / device).touch()
        mounts += f'{tools["mount"]} --bind /dev/{device} "$0/dev/{device}" && '
    enter = f'{mounts}exec {tools["chroot"]} "$0" /synod "$@"'
    refusals = []
    for how in ("-nm", "-rnm"):
        command = [tools["unshare"], how, tools["sh"], "-c", enter, str(root)]
        tried = subprocess.run([*command, "--version"], capture_output=True, text=True)
        if tried.returncode == 0:
            return command
        refusals.append(tried.stderr.strip())
    print(f"  nobody may enter another root here: {'; '.join(refusals)}")
    return None


def answers(command, mode, queries=QUERIES):
    """What each query finds over MCP: the paths in their order."""
    server, n = Stdio(command), itertools.count(2)
    server.ask(initialize(1))
    server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    found = []
    for query in queries:
        until = time.monotonic() + MODEL_S
        while True:
            args = {"name": "search", "arguments": {"query": query, "mode": mode, "limit": 5}}
            reply = server.ask(request(next(n), "tools/call", args))["result"]
            assert not reply.get("isError"), reply
            content = reply["structuredContent"]
            # A model is opened beside the first searches.
            if mode == "lexical" or not content.get("degraded"):
                break
            assert time.monotonic() < until, content
            time.sleep(0.5)
        found.append([hit["path"] for hit in content["hits"]])
    server.close(f"a session by {mode} search")
    return found


def in_a_bare_root(synod, vault, work):
    root = work / "root"
    shutil.copytree(vault, root / "vault")
    begun = time.monotonic()
    shutil.copy(synod, root / "synod")
    command = cell(root)
    where, inside = "with nothing beside it, no network, no C library, no shell", ""
    if command is None:
        where, inside = "where it stands", str(root)
        command = [str(root / "synod")]
    data = ["--data", f"{inside}/data"]
    indexed = subprocess.run([*command, "index", f"{inside}/vault", "--wait", *data], capture_output=True, text=True)
    check(f"a vault is indexed {where}", indexed.returncode == 0, indexed.stderr + indexed.stdout)
    found = answers([*command, "serve", "--stdio", *data], "lexical")
    took = time.monotonic() - begun
    check(f"the first answers come within {FIRST_ANSWER_S} s of the program's copy", took < FIRST_ANSWER_S, took)
    check("what it finds are the right notes", found[0][:1] == ["projects/Pool temperature array.md"], found)
    beside = sorted(path.name for path in root.iterdir())
    check("it left nothing but its data folder", beside == ["data", "dev", "synod", "vault"], beside)
    return found


def on_an_old_processor(synod, vault, models, work, words):
    """Words over the whole vault; meaning over two notes of a line, since an emulated processor takes seconds for each."""
    serve = ["serve", "--stdio", "--data"]
    index([*OLD, str(synod)], vault, work / "words", "--lexical-only")
    check("without AVX words find the same", answers([*OLD, str(synod), *serve, str(work / "words")], "lexical") == words)
    notes = work / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("The boat leaves the harbour.\n")
    (notes / "b.md").write_text("A loaf of rye from the oven.\n")
    os.environ["SYNOD_MODELS"] = str(models)
    index([*OLD, str(synod)], notes, work / "meaning")
    found = answers([*OLD, str(synod), *serve, str(work / "meaning")], "semantic", ["a ship sails", "bread"])
    check("and meaning finds what is said in other words", [paths[:1] for paths in found] == [["a.md"], ["b.md"]], found)


def index(command, folder, data, *more):
    command = [*command, "index", str(folder), "--wait", "--data", str(data), *more]
    done = subprocess.run(command, capture_output=True, text=True)
    check(f"{folder.name} is indexed by {' '.join(command[:3])}", done.returncode == 0, done.stderr + done.stdout)


def main():
    parser = argparse.ArgumentParser()
    for name in ("synod", "vault", "models", "work"):
        parser.add_argument(f"--{name}", required=True, type=lambda path: Path(path).resolve())
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    (args.work / "root").mkdir(parents=True)
    try:
        check("the program is static", is_static(args.synod))
        words = in_a_bare_root(args.synod, args.vault, args.work)
        if platform.machine() == "x86_64":
            on_an_old_processor(args.synod, args.vault, args.models, args.work, words)
        else:
            print("  not asked: a processor of another kind has no AVX to lack")
    except AssertionError as error:
        print(f"FAIL after {wire.n_checks} checks: {error}", flush=True)
        sys.exit(1)
    print(f"ok {wire.n_checks} checks")


if __name__ == "__main__":
    main()

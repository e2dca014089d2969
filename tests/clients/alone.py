"""One static program and nothing else: what `cargo install` without the lock file makes, in a root that holds only it and a vault.

No C library, no shell, no /proc, no /tmp, no network is there; then the same program on a processor without AVX (qemu's
Nehalem), by words and by meaning. Stops at the first failure with exit 1. Needs leave to enter another root (root, or user
namespaces); where that is refused, it says so and asks the program where it stands.
    alone.py --synod BINARY --vault FOLDER --models FOLDER --work FOLDER
"""

import argparse
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

FIRST_ANSWER_S = 60
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
    """The command that runs one in `root` without a network, if the system lets us."""
    where = os.environ.get("PATH", "") + os.pathsep + os.pathsep.join(["/usr/sbin", "/sbin", "/usr/bin", "/bin"])
    tools = {name: shutil.which(name, path=where) for name in ("unshare", "chroot")}
    assert all(tools.values()), f"needed to enter another root: {tools}"
    refusals = []
    for how in ("-n", "-rn"):
        command = [tools["unshare"], how, tools["chroot"], str(root), "/synod"]
        tried = subprocess.run([*command, "--version"], capture_output=True, text=True)
        if tried.returncode == 0:
            return command
        refusals.append(tried.stderr.strip())
    print(f"  nobody may enter another root here: {'; '.join(refusals)}")
    return None


def answers(command, mode):
    """What each query finds over MCP: the paths in their order."""
    server = Stdio(command)
    server.ask(initialize(1))
    server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    found = []
    for at, query in enumerate(QUERIES):
        args = {"query": query, "mode": mode, "limit": 5}
        reply = server.ask(request(at + 2, "tools/call", {"name": "search", "arguments": args}))["result"]
        assert not reply.get("isError"), reply
        content = reply["structuredContent"]
        assert mode == "lexical" or not content.get("degraded"), content
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
    check("it left nothing but its data folder", beside == ["data", "synod", "vault"], beside)
    return found


def on_an_old_processor(synod, vault, models, work, words):
    os.environ["SYNOD_MODELS"] = str(models)
    new, old = work / "new", work / "old"
    for data, command in ((new, [synod]), (old, [*OLD, synod])):
        done = subprocess.run(
            [*map(str, command), "index", str(vault), "--wait", "--data", str(data)], capture_output=True, text=True
        )
        check(f"indexed by {Path(str(command[0])).name}", done.returncode == 0, done.stderr + done.stdout)
    serve = [str(synod), "serve", "--stdio", "--data"]
    check("without AVX words find the same", answers([*OLD, *serve, str(old)], "lexical") == words)
    with_it = answers([*serve, str(new)], "semantic")
    without = answers([*OLD, *serve, str(old)], "semantic")
    check("and so does the meaning", without == with_it and all(with_it), (without, with_it))


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

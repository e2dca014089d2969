#!/usr/bin/env python3
"""Memory, disk and answers of one server over an hour of saves, searches and refused requests.

    python3 tests/bench/soak.py --synod target/release/synod [--minutes 60] [--csv FILE]

Makes a vault of its own, serves it over stdio and prints a row a minute. Notes are saved, moved,
removed and made all the time; each search asks for a word that one note has, and the reply is held
against what the files say. Ends with an error if a reply was wrong or the index differs from the
files; what memory did is for the reader to judge. With SYNOD_MODELS notes are embedded, too.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = "tide moon shore anemone walrus barnacle lantern harbour granite willow copper meadow".split()
SYLLABLES = "ka ro mi te su lo va ni pe du".split()


def unheard(n):
    """A word that only the note has that was saved with it."""
    letters = []
    for _ in range(7):
        letters.append(SYLLABLES[n % 10])
        n //= 10
    return "zq" + "".join(letters)


class Client:
    """One line a message, as the protocol has it on stdio."""

    def __init__(self, command, env):
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
        )
        self.id = 0
        self.request(
            "initialize",
            {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "soak", "version": "0"},
            },
        )
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.child.stdin.write(json.dumps(message).encode() + b"\n")
        self.child.stdin.flush()

    def request(self, method, params):
        self.id += 1
        self.send({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params})
        while True:
            line = self.child.stdout.readline()
            if not line:
                sys.exit("the server ended")
            reply = json.loads(line)
            if reply.get("id") == self.id:
                return reply

    def call(self, tool, **arguments):
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def memory_mb(self):
        """Anonymous and whole resident memory."""
        fields = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        )
        return [int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "VmRSS")]


class Vault:
    """What the files say: path and the word that only this file has."""

    def __init__(self, root, notes, dice):
        self.root, self.dice, self.n, self.words = root, dice, 0, {}
        for n in range(notes):
            self.write(f"{n % 50:02}/note{n}.md")

    def write(self, path):
        self.n += 1
        word = unheard(self.n)
        body = "\n\n".join(
            " ".join(self.dice.choices(WORDS, k=30)) for _ in range(self.dice.randint(1, 6))
        )
        link = self.dice.randrange(5_000)
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        beside = full.with_suffix(".md.tmp")
        beside.write_text(f"# Note {self.n}\n\n{word} [[note{link}]]\n\n{body}\n")
        beside.rename(full)
        self.words[path] = word

    def change(self):
        path = self.dice.choice(list(self.words))
        kind = self.dice.random()
        if kind < 0.8:
            self.write(path)
        elif kind < 0.9:
            to = f"moved/{self.n}-{Path(path).name[-40:]}"
            (self.root / "moved").mkdir(exist_ok=True)
            (self.root / path).rename(self.root / to)
            self.words[to] = self.words.pop(path)
        else:
            (self.root / path).unlink()
            del self.words[path]
            self.write(f"{self.n % 50:02}/new{self.n}.md")


def settled(client):
    """Waits until everything that was done is in."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        status = client.call("index_status")["result"]["structuredContent"]
        if status["fresh"] and not status.get("embedding", {}).get("waiting"):
            return status
        time.sleep(0.1)
    sys.exit("never fresh")


def disk_mb(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def at(sorted_values, share):
    return sorted_values[int((len(sorted_values) - 1) * share)] if sorted_values else 0.0


class Soak:
    def __init__(self, args, work):
        self.args, self.dice = args, random.Random(7)
        self.vault = Vault(work / "vault", args.notes, self.dice)
        self.data = work / "data"
        config = work / "synod.toml"
        config.write_text(f"[[source]]\npath = {json.dumps(str(self.vault.root))}\n")
        env = dict(os.environ)
        env.setdefault("SYNOD_MODELS", str(work / "none"))
        command = [args.synod, "serve", "--stdio", "--data", self.data, "--config", config]
        self.client = Client(command, env)
        settled(self.client)
        # Notes that stay as they are: their words are to be found at every moment.
        self.still = dict(self.dice.sample(sorted(self.vault.words.items()), args.notes // 10))
        for path in self.still:
            del self.vault.words[path]
        self.wrong, self.searches, self.refused, self.saves = [], 0, 0, 0

    def second(self, times):
        end = time.monotonic() + 1
        for _ in range(self.args.saves):
            self.vault.change()
            self.saves += 1
        for _ in range(self.args.searches):
            path, word = self.dice.choice(list(self.still.items()))
            start = time.monotonic()
            reply = self.client.call("search", query=f"+{word}")["result"]["structuredContent"]
            times.append((time.monotonic() - start) * 1000)
            self.searches += 1
            if [hit["path"] for hit in reply["hits"]] != [path]:
                self.wrong.append((word, path, [hit["path"] for hit in reply["hits"]]))
        for _ in range(self.args.refused):
            reply = self.client.call("search", query="x", limit=0)
            self.refused += 1
            if not reply["result"].get("isError"):
                self.wrong.append(("limit 0", reply))
        time.sleep(max(0.0, end - time.monotonic()))

    def minute(self, n):
        times = []
        until = time.monotonic() + 60
        while time.monotonic() < until:
            self.second(times)
        times.sort()
        anon, rss = self.client.memory_mb()
        row = [n, anon, rss, disk_mb(self.data), at(times, 0.5), at(times, 0.99)]
        counts = [self.saves, self.searches, self.refused, len(self.wrong)]
        return [f"{value:.1f}" if isinstance(value, float) else value for value in row] + counts

    def end(self):
        status = settled(self.client)
        self.vault.words.update(self.still)
        if status["documents"] != len(self.vault.words):
            self.wrong.append(("documents", status["documents"], len(self.vault.words)))
        for path, word in self.vault.words.items():
            found = self.client.call("search", query=f"+{word}", detail="names", mode="lexical")
            paths = [hit["path"] for hit in found["result"]["structuredContent"]["hits"]]
            if paths != [path]:
                self.wrong.append((word, path, paths))
        time.sleep(5)
        anon, rss = self.client.memory_mb()
        print(f"# at the end: {anon:.1f} MB anonymous, {rss:.1f} MB resident, {len(self.vault.words)} notes")
        self.client.child.stdin.close()
        self.client.child.wait(30)


HEAD = "minute anon_mb rss_mb disk_mb p50_ms p99_ms saves searches refused wrong".split()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--synod", required=True)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--notes", type=int, default=5_000)
    parser.add_argument("--saves", type=int, default=3, help="a second")
    parser.add_argument("--searches", type=int, default=28, help="a second")
    parser.add_argument("--refused", type=int, default=28, help="a second")
    parser.add_argument("--csv", help="writes the rows there as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        soak = Soak(args, Path(work))
        print(",".join(HEAD), flush=True)
        rows = []
        for n in range(1, args.minutes + 1):
            rows.append(soak.minute(n))
            print(",".join(map(str, rows[-1])), flush=True)
        soak.end()
        if args.csv:
            with open(args.csv, "w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([HEAD] + rows)
        print(f"# load {os.getloadavg()[0]:.1f}")
        for wrong in soak.wrong[:20]:
            print("wrong:", wrong)
        if soak.wrong:
            sys.exit(1)


if __name__ == "__main__":
    main()

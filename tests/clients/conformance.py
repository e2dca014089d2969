#!/usr/bin/env python3
"""Runs the protocol's conformance suite against a running server and judges every check of it.

    conformance.py --url http://127.0.0.1:8931/mcp --revision 2026-07-28 --out out \\
        --node node_modules/.bin/node --suite node_modules/@modelcontextprotocol/conformance

`--suite` is the folder of the installed npm package, which needs Node 22 or newer. `--out` gets the
suite's own results in a folder named after the revision. `--baseline` is a file of failures that are
expected, in the suite's format: YAML with a list `server:` of `scenario` or `scenario:check-id`.

The suite's own exit status is no use here: it passes over failures in scenarios that it does not score.
Exit status: 0 if exactly the expected checks failed; 1 if another one failed, or an expected one passed;
2 if the suite did not run. A warning of the suite counts as a failure.
"""

import argparse
import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys

# A run takes about 10 s; a server that hangs costs the suite 30 s per scenario.
RUN_S_MAX = 600
BAD = ("FAILURE", "WARNING")
WHOLE = None  # stands for every check of a scenario


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="address of the server's MCP endpoint")
    parser.add_argument("--revision", required=True, choices=["2025-11-25", "2026-07-28"])
    parser.add_argument("--baseline", type=pathlib.Path, help="file of expected failures")
    parser.add_argument("--node", required=True, help="node binary, 22 or newer")
    parser.add_argument("--suite", required=True, type=pathlib.Path, help="folder of the installed npm package")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for results")
    return parser.parse_args(argv)


def run(args, results):
    """The suite's text, which also goes to `suite.log` in the folder for results."""
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    command = [args.node, args.suite / "dist" / "index.js", "server", "--url", args.url]
    command += ["--requirements", args.revision, "-o", results]
    log = results / "suite.log"
    with open(log, "w") as out:
        subprocess.run(command, stdout=out, stderr=out, timeout=RUN_S_MAX, check=False)
    return log.read_text()


def statuses(results, text):
    """Per scenario that was begun, each check's worst status (and message), by the check's id."""
    scenarios = {name: {} for name in re.findall(r"^=== Running scenario: (\S+) ===$", text, re.M)}
    for path in results.glob("*/checks.json"):
        name = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", path.parent.name).removeprefix("server-")
        name = name if name in scenarios else "server-" + name
        for check in json.loads(path.read_text()):
            scenarios[name].setdefault(check["id"], []).append((check["status"], check.get("errorMessage", "")))
    for checks in scenarios.values():
        if not checks:
            checks["did-not-run"] = [("FAILURE", "the suite wrote no result; see suite.log")]
    return scenarios


def read_baseline(path):
    """Expected failures as pairs of scenario and check id. Reads only the list form of YAML."""
    expected, section = set(), None
    for number, line in enumerate(path.read_text().splitlines() if path else [], 1):
        line = re.sub(r"(^|\s)#.*", "", line).rstrip()
        if match := re.fullmatch(r"(\w+):(\s*\[\])?", line):
            section = match[1]
        elif match := re.fullmatch(r"\s*- ['\"]?([^'\":\s]+)(?::([^'\"\s]+))?['\"]?", line):
            if section == "server":
                expected.add((match[1], match[2] or WHOLE))
        elif line:
            raise ValueError(f"{path} line {number}: `{line}` is neither `server:` nor `- scenario[:check-id]`")
    return expected


def judge(scenarios, expected):
    """Lines about failures that nobody expected and about expectations that no longer hold."""
    verdict, failed = [], set()
    for name, checks in sorted(scenarios.items()):
        for check, found in checks.items():
            bad = [(status, message) for status, message in found if status in BAD]
            if bad:
                failed |= {(name, WHOLE), (name, check)}
            if not expected & {(name, WHOLE), (name, check)}:
                verdict += [f"{status} {name}:{check} {message}" for status, message in bad]
    for name, check in sorted(expected - failed, key=str):
        verdict.append(f"PASSES NOW {name}{':' + check if check else ''}: take it off the list of expected failures")
    return verdict


def main(argv):
    args = parse(argv)
    results = args.out / args.revision
    try:
        expected = read_baseline(args.baseline)
        scenarios = statuses(results, run(args, results))
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    if not scenarios:
        print(f"conformance: the suite ran no scenario; see {results / 'suite.log'}", file=sys.stderr)
        return 2
    verdict = judge(scenarios, expected)
    print("\n".join(verdict), end="\n" if verdict else "")
    counts = collections.Counter(s for checks in scenarios.values() for found in checks.values() for s, _ in found)
    n_bad = sum(counts[status] for status in BAD)
    print(
        f"{args.revision}: {len(scenarios)} scenarios, {counts['SUCCESS']} of {counts['SUCCESS'] + n_bad} checks passed,"
        f" {n_bad} failed ({len(expected)} expected entries), {counts['SKIPPED']} skipped"
    )
    return 1 if verdict else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

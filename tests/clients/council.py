"""Recorded answers of real models through replay, `orchestrate` and the official Python client: figures end to end.

Each block of questions has a panel of five models of its own, drawn with a fixed seed. Every answer goes through the whole
program: stdio, the door, the job, the engine that asks, the store, the verdict. The same answers are then scored by
`consensus`, which asks nobody: both must give the same answer and the same trust, or the exit code is 1.
    council.py --synod BINARY --judged DIR [--questions N] [--csv FILE]
`--judged` is the folder of judged answers (mmlu_pro.jsonl.gz, math_l5.jsonl.gz, gsm8k.jsonl.gz).
"""

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

SEED, PANEL, BLOCK, BINS = 7, 5, 50, 15
# Of 2,000 questions; the parts that the sets have of each other.
SHARES = {"mmlu_pro": 0.43, "math_l5": 0.15, "gsm8k": 0.42}


def questions(judged, name, n):
    with gzip.open(judged / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    draw = random.Random(f"{SEED} {name}")
    draw.shuffle(rows)
    models = sorted({answer["model"] for row in rows for answer in row["answers"]})
    out = []
    for at, row in enumerate(rows):
        if at % BLOCK == 0:
            panel = sorted(draw.sample(models, PANEL))
        answers = {answer["model"]: answer for answer in row["answers"]}
        # Not every model answered every question.
        if len(out) < n and all(model in answers for model in panel):
            out.append((row, [answers[model] for model in panel]))
    return out


def prompt(row):
    """What a model is asked: the question, and its options by their letters."""
    options = "".join(f"\n{chr(65 + n)}) {text}" for n, text in enumerate(row.get("options") or []))
    return f"{row['question']}\n{options}" if options else row["question"]


def transcripts(path, asked):
    """The panel's answers as transcripts; models of different sets never meet."""
    rows = {}
    for name, row, answers in asked:
        for answer in answers:
            model = f"{name}/{answer['model']}"
            rows[model, prompt(row).strip()] = {
                "model": model, "vendor": answer["vendor"], "family": answer["family"],
                "question": prompt(row), "text": answer["text"], "finish": "stop",
            }
    with path.open("w", encoding="utf-8") as out:
        for row in rows.values():
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def figures(rows):
    """Accuracy, the majority's, AUROC, expected calibration error over 15 bins and Brier score of (trust, right, majority)."""
    n = len(rows)
    right, wrong = [t for t, r, _ in rows if r], [t for t, r, _ in rows if not r]
    pairs = len(right) * len(wrong)
    above = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
    bins = {}
    for trust, is_right, _ in rows:
        bins.setdefault(min(int(trust * BINS), BINS - 1), []).append((trust, is_right))
    gaps = (abs(sum(t for t, _ in b) - sum(r for _, r in b)) for b in bins.values())
    return {
        "questions": n,
        "accuracy": sum(r for _, r, _ in rows) / n,
        "majority": sum(m for *_, m in rows) / n,
        "auroc": above / pairs if pairs else 0.0,
        "ece": sum(gaps) / n,
        "brier": sum((t - r) ** 2 for t, r, _ in rows) / n,
    }


def majority_right(answers):
    """The chance that the largest group of equal answers is right, ties broken evenly."""
    groups = {}
    for answer in answers:
        groups.setdefault(str(answer.get("extracted")), []).append(bool(answer["correct"]))
    most = max(len(group) for group in groups.values())
    best = [group[0] for group in groups.values() if len(group) == most]
    return sum(best) / len(best)


async def run(options):
    judged, rows, differ, took = Path(options.judged), {}, [], []
    asked = []
    for name, share in SHARES.items():
        found = questions(judged, name, max(1, round(options.questions * share)))
        asked += [(name, row, answers) for row, answers in found]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        transcripts(scratch / "answers.jsonl", asked)
        config = scratch / "synod.toml"
        config.write_text(f'[[provider]]\nname = "recorded"\ndialect = "replay"\nurl = "{scratch}/answers.jsonl"\n'
                          '[embedding]\nmodel = ""\n')
        server = StdioServerParameters(
            command=options.synod, args=["serve", "--stdio", "--config", str(config), "--data", str(scratch / "data")],
            env={**os.environ, "SYNOD_DATA": str(scratch / "data")},
        )
        async with Client(server) as client:
            for name, row, answers in asked:
                models = [f"{name}/{answer['model']}" for answer in answers]
                call = {"query": row["question"], "models": models}
                if row.get("options"):
                    call["options"] = row["options"]
                start = time.perf_counter()
                reply = await client.call_tool("orchestrate", call)
                took.append(time.perf_counter() - start)
                assert not reply.is_error, reply.content
                verdict = reply.structured_content["verdict"]
                given = [{"model": model, "vendor": a["vendor"], "family": a["family"], "text": a["text"]}
                         for model, a in zip(models, answers)]
                score = {"question": row["question"], "answers": given}
                if row.get("options"):
                    score["options"] = row["options"]
                alone = (await client.call_tool("consensus", score)).structured_content
                if any(verdict[key] != alone[key] for key in ("answer", "trust", "clusters")):
                    differ.append((name, row["question"][:80], verdict["answer"], alone["answer"]))
                if verdict["trust"] is None:
                    # Nobody, or one alone, gave an answer that can be read.
                    rows.setdefault(name, []).append((0.0, 0, majority_right(answers)))
                    continue
                winners = set(verdict["clusters"][0]["models"])
                is_right = any(a["correct"] for model, a in zip(models, answers) if model in winners)
                rows.setdefault(name, []).append((verdict["trust"], int(is_right), majority_right(answers)))
    took.sort()
    print(f"{len(asked)} questions, {PANEL * len(asked)} answers; a council over stdio p50 "
          f"{took[len(took) // 2] * 1e3:.1f} ms, p99 {took[int(len(took) * 0.99)] * 1e3:.1f} ms")
    lines = ["set,experiment,metric,value"]
    for name, found in rows.items():
        for metric, value in figures(found).items():
            text = str(value) if metric == "questions" else f"{value:.4f}"
            lines.append(f"{name},end to end,{metric},{text}")
    lines.append(f"all,end to end,different from consensus,{len(differ)}")
    print("\n".join(lines))
    if options.csv:
        Path(options.csv).write_text("\n".join(lines) + "\n")
    for row in differ[:10]:
        print("differs:", *row, file=sys.stderr)
    return 1 if differ else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synod", required=True)
    parser.add_argument("--judged", required=True)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--csv")
    sys.exit(anyio.run(run, parser.parse_args()))

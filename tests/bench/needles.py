"""Questions of people who remember the words of a text: made from the corpora of judged sets, to be asked with `synod eval`.

For each of N texts (seed 5) four questions whose one answer it is:
    odd     six words near a word that stands in no other text, and that word, in no order
    three   two of them, and that word
    run     eight words as they follow each other, without a quotation mark
    one     that word alone
    needles.py OUT SET...      then: synod eval OUT/*
"""

import collections
import gzip
import json
import random
import re
import shutil
import sys
from pathlib import Path

N, SEED, NEAR, STOPPED = 100, 5, 40, 60


def lines(path):
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def questions(words, texts_with, stopped, dice):
    """The four questions to a text of these words; nothing where no word is its own."""
    own = [at for at, word in enumerate(words) if texts_with[word] == 1 and len(word) >= 5]
    if len(words) < NEAR or not own:
        return None
    at = dice.choice(own)
    rare, around = words[at], words[max(0, at - NEAR) : at + NEAR]
    near = list(dict.fromkeys(word for word in around if word != rare and word not in stopped))
    if len(near) < 8:
        return None
    odd, three = [*dice.sample(near, 6), rare], [*dice.sample(near, 2), rare]
    dice.shuffle(odd)
    dice.shuffle(three)
    start = dice.randrange(len(words) - 8)
    return {"odd": odd, "three": three, "run": words[start : start + 8], "one": [rare]}


def write(source, out):
    corpus = lines(source / "corpus.jsonl.gz")
    words = [[word.lower() for word in re.findall(r"[A-Za-z]{3,}", text["text"])] for text in corpus]
    texts_with = collections.Counter(word for text in words for word in set(text))
    stopped = {word for word, _ in texts_with.most_common(STOPPED)}
    dice = random.Random(SEED)
    order = list(range(len(corpus)))
    dice.shuffle(order)
    out.mkdir(parents=True)
    for name in ("corpus.jsonl.gz", "tree.tar.gz", "build.json"):
        if (source / name).exists():
            shutil.copy(source / name, out / name)
    n = 0
    with gzip.open(out / "queries.jsonl.gz", "wt") as asked, gzip.open(out / "qrels.tsv.gz", "wt") as judged:
        judged.write("query-id\tcorpus-id\tscore\n")
        for at in order:
            made = questions(words[at], texts_with, stopped, dice)
            for kind, text in (made or {}).items():
                asked.write(json.dumps({"id": f"{kind}{n}", "text": " ".join(text), "split": kind}) + "\n")
                judged.write(f"{kind}{n}\t{corpus[at]['id']}\t1\n")
            n += made is not None
            if n == N:
                break


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    for source in map(Path, sys.argv[2:]):
        if not (source / "corpus.jsonl.gz").exists():
            sys.exit(f"{source}: no corpus.jsonl.gz; name a judged set that has one")
        write(source, out / source.name)


if __name__ == "__main__":
    main()

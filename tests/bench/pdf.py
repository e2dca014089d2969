"""How many words of real PDFs the index holds, beside `pdftotext` of poppler-utils.
    pdf.py --synod BINARY FOLDER      for example the folder of Debian's package texlive-latex-base-doc, unpacked
Counts distinct words of four ASCII letters or more, per file; prints the totals and the files that lack the most.
"""

import argparse
import re
import sqlite3
import subprocess
import tempfile
import unicodedata
from pathlib import Path

SHOWN = 5


def words(text):
    return {word.lower() for word in re.findall(r"[A-Za-z]{4,}", unicodedata.normalize("NFKC", text))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--synod", required=True)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        index = [args.synod, "index", str(args.folder), "--wait", "--lexical-only", "--data", data]
        subprocess.run(index, check=True, capture_output=True)
        db = sqlite3.connect(Path(data) / "index" / "index.db")
        held = dict(db.execute("SELECT f.path, p.text FROM pushed p JOIN file f ON f.id = p.file"))
    n_files = n_words = n_missing = n_without = 0
    worst = []
    for file in sorted(args.folder.rglob("*.pdf")):
        said = subprocess.run(["pdftotext", "-enc", "UTF-8", str(file), "-"], capture_output=True)
        wanted = words(said.stdout.decode("utf-8", "replace"))
        path = file.relative_to(args.folder).as_posix()
        n_files += 1
        n_without += path not in held and bool(wanted)
        missing = wanted - words(held.get(path, ""))
        n_words, n_missing = n_words + len(wanted), n_missing + len(missing)
        worst.append((len(missing) / max(len(wanted), 1), path))
    print(f"{n_files} files, {n_without} of them without text here, {n_words} words, {n_missing} missing: {n_missing / max(n_words, 1):.2%}")
    for share, path in sorted(worst, reverse=True)[:SHOWN]:
        print(f"  {share:.1%} {path}")


if __name__ == "__main__":
    main()

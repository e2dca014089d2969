#!/usr/bin/env python3
"""Makes judged sets in nine languages (and English) out of the packages in DIR/packages.

    tests/world.py DIR

A document is a page or a section of a manual; a question is what was cut out of it, its title or
its first sentence, and the document that it was cut from is the one that answers. Paragraphs that
a translator left in English are dropped. Nothing here is drawn by chance: the same packages give
the same bytes.

    DIR/sets/<language>/   corpus.jsonl.gz, queries.jsonl.gz, qrels.tsv.gz
    DIR/pages/<language>-<encoding>/   20 documents in a code page; <language>-utf-8/ beside it
    DIR/words.tsv          language, word, the documents that hold it (at most five, by a space)
    DIR/counts.tsv         what was made of what
"""

import collections
import gettext
import gzip
import hashlib
import html.parser
import io
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import unicodedata

DOCUMENTS = 400  # the most documents of a set
QUESTIONS = 120  # half of them titles, half first sentences
WORDS = 500
PAGES = 20

HAN, KANA, HIRAGANA = "\u3400-\u4dbf\u4e00-\u9fff", "\u30a1-\u30fa\u30fc", "\u3041-\u3096"
# The letters of a language, whether it writes spaces, the folder of its help pages, the code pages.
LANGUAGES = {
    "ar": ("\u0620-\u064a\u064b-\u0652\u0670", True, None, ["windows-1256"]),
    "de": ("a-zA-ZÄÖÜäöüß", True, "de", ["windows-1252"]),
    "el": ("\u0386-\u03ce", True, "el", ["iso-8859-7", "windows-1253"]),
    "en": ("a-zA-Z", True, "en-US", []),
    "fr": ("a-zA-ZÀ-ÖØ-öø-ÿŒœ", True, "fr", ["windows-1252"]),
    "ja": (HAN + KANA + HIRAGANA, False, "ja", ["shift_jis", "euc-jp"]),
    "ko": ("\uac00-\ud7a3", True, "ko", ["euc-kr"]),
    "ru": ("\u0400-\u04ff", True, "ru", ["windows-1251", "koi8-r"]),
    "th": ("\u0e01-\u0e3a\u0e40-\u0e4e", False, None, ["windows-874", "tis-620"]),
    "zh": (HAN, False, "zh-CN", ["gbk"]),
    "zh-tw": (HAN, False, "zh-TW", ["big5"]),
}
HELPED = [name for name, (_, _, folder, _) in LANGUAGES.items() if folder]
# Python's names of code pages, where they are not those of the web.
CODEC = {"windows-874": "cp874"}
# Marks that some code pages lack; a text in a code page would have been typed without them.
PLAIN = str.maketrans({
    "\u00a0": " ", "\u2013": "-", "\u2014": "-", "\u2026": "...", "\u2018": "'", "\u2019": "'",
    "\u201c": '"', "\u201d": '"', "\u2011": "-", "\u200b": "", "\u200e": "", "\u200f": "",
    "\u2212": "-", "\u2009": " ", "\u202f": " ", "\u2028": " ", "\uff0d": "-", "\u2022": "*",
})
Document = collections.namedtuple("Document", "source title blocks prose")


def digest(text):
    """An order that has nothing to do with the content and is the same everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()


def body(document):
    return " ".join(document.blocks)


def least(of_letters, of_syllables, language):
    """A bound on a text's letters: a sign of Chinese or Korean says more than a letter does."""
    return of_letters if LANGUAGES[language][1] and language != "ko" else of_syllables


def letters(text, language):
    return len(re.findall(f"[{LANGUAGES[language][0]}]", text))


def native(text, language):
    """Whether most letters of a paragraph are of the language's script."""
    own = letters(text, language)
    latin = len(re.findall("[a-zA-Z]", text))
    return own >= 2 and own >= 0.5 * (own + (latin if language not in ("de", "en", "fr") else 0))


class Sections(html.parser.HTMLParser):
    """Headings with the paragraphs below them, of HTML and DocBook alike."""

    block = set("p para li td th dt dd div simpara term item entry table tr ul ol section tip "
                "note warning caution variablelist itemizedlist orderedlist procedure step".split())
    heading = set("h1 h2 h3 h4 h5 heading".split())
    skip = set("script style nav header footer aside noscript indexterm othercredit copyright "
               "legalnotice authorgroup revhistory mediaobject screen programlisting pre".split())

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.sections, self.text, self.skipping, self.in_heading = [("", [])], [], 0, False
        self.spans = []

    def flush(self):
        text = " ".join("".join(self.text).translate({0x200f: None, 0x200e: None}).split())
        self.text = []
        if text and self.in_heading:
            self.sections.append((text, []))
        elif text:
            self.sections[-1][1].append(text)

    def handle_starttag(self, tag, attrs):
        if tag == "span":
            # Of what is said differently on each system, the one without a class is for the rest.
            names = dict(attrs)
            self.spans.append("hidden" in names and "class" in names)
            self.skipping += self.spans[-1]
        elif tag in self.skip:
            self.skipping += 1
        elif not self.skipping and tag in self.heading:
            self.flush()
            self.in_heading = True
        elif not self.skipping and tag in self.block and not self.in_heading:
            self.flush()

    def handle_endtag(self, tag):
        if tag == "span":
            self.skipping -= self.spans.pop() if self.spans else 0
        elif tag in self.skip:
            self.skipping = max(0, self.skipping - 1)
        elif not self.skipping and tag in self.heading:
            self.flush()
            self.in_heading = False
        elif not self.skipping and tag in self.block and not self.in_heading:
            self.flush()

    def handle_data(self, data):
        if not self.skipping:
            self.text.append(data)


def sections(text):
    # A title of DocBook is a heading; that of HTML stands outside of the page.
    text = re.sub(r"<head>.*?</head>|<head .*?</head>", "", text, flags=re.S)
    parser = Sections()
    parser.feed(re.sub(r"<(/?)(?:\w+:)?title\b", r"<\1heading", text))
    parser.close()
    parser.flush()
    return parser.sections


def package(folder, name, keep):
    """The files of a package whose path `keep` matches, by path."""
    found = sorted(folder.glob(f"{name}_*.deb"))
    if len(found) != 1:
        sys.exit(f"world.py: {len(found)} files of the package `{name}` in {folder}, not one")
    read = ["dpkg-deb", "--fsys-tarfile", found[0]]
    tar = subprocess.run(read, stdout=subprocess.PIPE, check=True)
    files = {}
    with tarfile.open(fileobj=io.BytesIO(tar.stdout)) as archive:
        for member in archive:
            if member.isfile() and re.search(keep, member.name):
                files[member.name] = archive.extractfile(member).read()
    if not files:
        sys.exit(f"world.py: nothing in the package `{name}` is called {keep}")
    return dict(sorted(files.items()))


def help_pages(folder):
    """The same pages of the office suite's help in every language that has them."""
    pages = {}
    for language in HELPED:
        code = LANGUAGES[language][2]
        files = package(folder, f"libreoffice-help-{code.lower()}", rf"/help/{code}/text/.*\.html$")
        pages[language] = {path.split(f"/{code}/text/")[1]: text for path, text in files.items()}
    shared = set.intersection(*(set(of) for of in pages.values()))
    documents, seen = {language: [] for language in HELPED}, set()
    for path in sorted(shared, key=digest):
        english = help_page(pages["en"][path].decode(), path, "en", ())
        page = {}
        for language in HELPED:
            left = () if language == "en" else {english.title, *english.blocks}
            page[language] = help_page(pages[language][path].decode(), path, language, left)
        # One page in all languages or in none, so that their figures can be compared.
        keys = {(name, of) for name, got in page.items() for of in (got.title, body(got))}
        fine = all(fits(of, name) and asks(of.title, name) for name, of in page.items())
        if fine and not keys & seen:
            seen |= keys
            for language in HELPED:
                documents[language].append(page[language])
        if len(documents["en"]) == DOCUMENTS:
            break
    return documents


def help_page(text, path, language, left):
    start = text.find('<div id="DisplayArea"')
    end = text.find('<div id="SearchFrame"')
    text = text[start:end]
    text = text.split('<div class="relatedtopics">')[0]
    title, blocks = "", []
    for heading, below in sections(text):
        if heading and not title:
            title = heading
        elif heading:
            blocks.append(heading)
        blocks += below
    blocks = [block for block in blocks if block not in left and native(block, language)]
    return Document(path, "" if title in left else title, blocks, True)


def manual(files, language):
    """Every section of a manual with its own paragraphs."""
    for path, text in files.items():
        for number, (title, blocks) in enumerate(sections(text.decode(errors="replace"))):
            # A table of contents is not text.
            blocks = [block for block in blocks if not re.match(r"\d+(\.\d+)+\. ", block)]
            blocks = [block for block in blocks if native(block, language)]
            title = re.sub(r"^(فصل )?\d+(\.\d+)*\. *", "", title)
            yield Document(f"{path.split('/')[-1]}:{number}", title, blocks, True)


def functions(folder):
    """What a spreadsheet's functions do, in Thai: messages, because there is too little prose."""
    files = package(folder, "libreoffice-l10n-th", r"/th/LC_MESSAGES/(sc|sca)\.mo$")
    for path, data in files.items():
        groups = collections.defaultdict(list)
        for key, value in gettext.GNUTranslations(io.BytesIO(data))._catalog.items():
            if isinstance(key, str) and "\x04" in key and native(value, "th"):
                group, english = key.split("\x04", 1)
                groups[group.split("|")[0]].append((english, value))
        for group, messages in sorted(groups.items()):
            blocks = list(dict.fromkeys(" ".join(value.split()) for _, value in sorted(messages)))
            if "_" in group and re.match("[A-Z]", group) and sum(map(len, blocks)) >= 80:
                name = pathlib.PurePath(path).name
                yield Document(f"{name}:{group}", "", blocks, False)


def fits(document, language):
    """Enough of a body to be a document of its own."""
    return letters(body(document), language) >= least(160, 80, language)


def asks(title, language):
    """Whether a title says enough to be a question: several words, none of them foreign."""
    words = not LANGUAGES[language][1] or " " in title
    enough = letters(title, language) >= least(10, 4, language)
    return enough and words and native(title, language) and len(title) <= 100


def unique(documents, language):
    """Those with enough text, one of each body."""
    found = {}
    for document in documents:
        if fits(document, language) or not document.prose:
            found.setdefault(body(document), document)
    return list(found.values())


def first_sentence(document, language):
    """A sentence at the head of a body that can be cut out of it, with what then remains."""
    first = document.blocks[0]
    if language == "th":  # no stop ends a Thai sentence
        sentence = first
    else:
        sentence = re.split(r"(?<=[.!?:;؟])\s|(?<=[。！？])", first)[0]
    rest = [block for block in [first[len(sentence):].strip(), *document.blocks[1:]] if block]
    enough = letters(" ".join(rest), language) >= least(120, 60, language)
    size, most = letters(sentence, language), least(300, 150, language)
    if least(40, 15, language) <= size <= most and enough and native(sentence, language):
        return sentence.rstrip(":"), rest
    return None, document.blocks


def askable(language, documents):
    """What can be asked for: (document, kind), if no other document starts or is called alike."""
    starts = collections.Counter(document.blocks[0] for document in documents)
    titles = collections.Counter(document.title for document in documents)
    for of in filter(lambda of: of.prose, documents):
        if starts[of.blocks[0]] == 1 and first_sentence(of, language)[0]:
            yield of.source, "line"
        if titles[of.title] == 1 and asks(of.title, language):
            yield of.source, "title"


def choose(can):
    """One kind of question a document, first sentences first, because fewer can be had."""
    kinds, left = {}, {"line": QUESTIONS // 2, "title": QUESTIONS // 2}
    for kind in left:
        fit = [source for source, has in can if has == kind]
        for source in sorted(fit, key=lambda of: digest("ask " + of)):
            if left[kind] and source not in kinds:
                kinds[source], left[kind] = kind, left[kind] - 1
    return kinds


def judged(language, documents, kinds):
    """The set: notes with their questions cut out, and the questions."""
    notes, questions = [], []
    for number, document in enumerate(sorted(documents, key=lambda of: of.source)):
        name = f"{language}{number:04}"
        title, blocks = document.title, document.blocks
        kind = kinds.get(document.source)
        if kind == "title":
            ask, title = title, ""
        elif kind == "line":
            ask, blocks = first_sentence(document, language)
        if kind:
            questions.append({"id": f"q{number:04}", "text": ask, "type": kind, "document": name})
        text = "\n\n".join(blocks)
        note = {"id": name, "path": "", "title": title, "text": text, "source": document.source}
        notes.append(note)
    return notes, questions


def zipped(path, text):
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as out:
        out.write(text.encode())


def write_set(folder, notes, questions):
    folder.mkdir(parents=True)
    asked = [{key: question[key] for key in ("id", "text", "type")} for question in questions]
    dump = lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    zipped(folder / "corpus.jsonl.gz", dump(notes))
    zipped(folder / "queries.jsonl.gz", dump(asked))
    rows = "".join(f"{question['id']}\t{question['document']}\t1\n" for question in questions)
    zipped(folder / "qrels.tsv.gz", "query-id\tcorpus-id\tscore\n" + rows)


def as_file(note):
    """A note as `synod eval` lays it out."""
    return f"# {note['title']}\n\n{note['text']}\n" if note["title"] else note["text"]


def runs(language):
    """The unbroken runs of one script that words are cut from."""
    if language == "ja":
        return re.compile(f"[{HAN}]+|[{KANA}]+|[{HIRAGANA}]+")
    own, spaced = LANGUAGES[language][:2]
    # Where words have spaces between, a word with a digit or a foreign letter in it is none.
    other = r"[\w\u0300-\u036f]"
    return re.compile(f"(?<!{other})[{own}]+(?!{other})" if spaced else f"[{own}]+")


def pieces(text, language):
    """Every word of a text; without spaces between words, every 2 to 4 characters of a run."""
    if LANGUAGES[language][1]:
        least = 2 if language == "ko" else 4
        return {word.lower() for word in runs(language).findall(text) if len(word) >= least}
    out = set()
    for run in runs(language).findall(text):
        for length in (2, 3, 4):
            for start in range(len(run) - length + 1):
                word, after = run[start:start + length], run[start + length:start + length + 1]
                if language != "th" or thai(word, after):
                    out.add(word)
    return out


def thai(word, after):
    """Whether a cut falls between what a Thai reader sees as letters."""
    hangs = lambda c: c and (unicodedata.category(c) == "Mn" or c in "ะาำๅๆฯ")
    return not hangs(word[0]) and not hangs(after) and word[-1] not in "เแโใไ"


def words(language, notes):
    holding = collections.defaultdict(list)
    for note in notes:
        for word in pieces(as_file(note), language):
            holding[word].append(note["id"])
    rare = sorted((word for word, held in holding.items() if len(held) <= 5), key=digest)[:WORDS]
    return sorted((word, sorted(holding[word])) for word in rare)


def write_pages(folder, language, notes):
    """The same documents in UTF-8 and in every code page of the language."""
    codecs, chosen = LANGUAGES[language][3], []
    for note in notes:
        text = as_file(note).translate(PLAIN)
        try:
            encoded = [text.encode(CODEC.get(codec, codec)) for codec in codecs]
        except UnicodeEncodeError:
            continue
        if codecs and letters(text, language) >= 200 and len(chosen) < PAGES:
            chosen.append((note["id"], text, encoded))
    for number, codec in enumerate(["utf-8", *codecs] if codecs else []):
        pages = folder / f"{language}-{codec}"
        pages.mkdir(parents=True)
        for name, text, encoded in chosen:
            (pages / f"{name}.md").write_bytes([text.encode(), *encoded][number])
    return len(chosen)


def main():
    root = pathlib.Path(sys.argv[1])
    folder = root / "packages"
    documents = help_pages(folder)
    book = package(folder, "debian-handbook", r"/html/ar-MA/[^/]+\.html$")
    panel = {language: package(folder, "gnome-panel-data", rf"/help/{language}/.*\.(xml|page)$")
             for language in ("ar", "th")}
    guide = package(folder, "mate-user-guide", r"/help/th/.*\.xml$")
    documents["ar"] = [*manual(book, "ar"), *manual(panel["ar"], "ar")]
    documents["th"] = [*manual(guide, "th"), *manual(panel["th"], "th"), *functions(folder)]
    listed, counts = [], ["language documents messages questions words pages".split()]
    kept = {language: unique(of, language)[:DOCUMENTS] for language, of in documents.items()}
    can = {language: set(askable(language, of)) for language, of in kept.items()}
    shared = choose(set.intersection(*(can[language] for language in HELPED)))
    for language in sorted(kept):
        kinds = shared if language in HELPED else choose(can[language])
        notes, questions = judged(language, kept[language], kinds)
        pages = write_pages(root / "pages", language, notes)
        if language == "zh-tw":  # for its code page alone
            continue
        found = words(language, notes)
        messages = sum(not of.prose for of in kept[language])
        count = [len(notes), messages, len(questions), len(found), pages]
        few = len(notes) < 300 or len(questions) < 100 or len(found) < WORDS
        if few or pages not in (0, PAGES):
            sys.exit(f"world.py: too little of `{language}`: {counts[0][1:]} are {count}")
        write_set(root / "sets" / language, notes, questions)
        listed += [f"{language}\t{word}\t{' '.join(held)}\n" for word, held in found]
        counts.append([language, *map(str, count)])
    (root / "words.tsv").write_text("language\tword\tdocuments\n" + "".join(listed))
    (root / "counts.tsv").write_text("".join("\t".join(row) + "\n" for row in counts))


if __name__ == "__main__":
    main()

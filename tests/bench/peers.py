#!/usr/bin/env python3
"""Embedding and vector search of synod beside published Python engines, on this machine (Linux).

    python3 tests/bench/peers.py [--bench PATH] [--texts N] [--queries N] [--vectors N] [--work DIR] [--model FOLDER]
Every engine gets the same texts, all cores and a process of its own; embedding engines take turns, and the best round
counts. Prints two Markdown tables; `embedding.csv` and `vectors.csv` in the work folder have the same rows. Packages
are installed in the work folder, once (2.3 GB). The model comes from `tests/model.sh target/models`.
On a machine that has other work to do, give it one core to itself: `taskset -c 0 python3 tests/bench/peers.py`.
"""

import argparse
import csv
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from importlib import import_module, util
from pathlib import Path

np = import_module("numpy") if util.find_spec("numpy") else None  # not needed outside the venv

ROOT = Path(__file__).resolve().parents[2]
ROUNDS, BATCH, TOKENS_MAX, LIMIT_S, CORES = 2, 8, 256, 3600, len(os.sched_getaffinity(0))
PASSAGE_TOKENS, PASSAGE_TOKENS_MIN, DIMENSIONS, PROBES, NEIGHBOURS, JITTER = 198, 120, 384, 200, 10, 0.02
LINKS, BUILD_WIDTH, SEARCH_WIDTHS = 16, 128, (32, 64, 128)  # M, efConstruction, ef
TOKEN_OPS = 23.1e6  # products and sums of MiniLM for a token among 200: 21.2 with weights, 1.8 of attention
WAITING = ("ACTIVE", "PASSIVE")  # of torch's threads, by round: the one is faster alone, the other in company

# What pip installs, call by call.
PACKAGES = {
    "numpy": ["numpy==2.4.6 tokenizers==0.23.3"],
    "sentence-transformers": [
        "filelock==4.2.11 typing-extensions==4.16.0 sympy==1.14.0 networkx==3.6.1 jinja2==3.1.6 fsspec==2026.9.0"
        " huggingface-hub==2.4.0 safetensors==0.8.0 pyyaml==6.0.3 regex==2026.11.15 typer==0.29.2 tqdm==4.70.1"
        " scikit-learn==1.9.1 scipy==1.17.1",
        "--no-deps torch==2.15.0 nvidia-cuda-runtime==13.2.86 nvidia-cuda-cupti==13.2.86 nvidia-cufile==1.17.1.22"
        " nvidia-nvshmem-cu13==3.7.2 sentence-transformers==6.2.0 transformers==5.23.0"],
    "onnxruntime": ["onnxruntime==1.31.1 onnx==1.23.2"],
    "usearch": ["usearch==2.26.6"],
    "faiss": ["faiss-cpu==1.15.1"],
    "hnswlib": ["--no-binary hnswlib hnswlib==0.8.0"],  # as source alone: needs g++ and Python's headers
}
# The published torch for Linux is linked to these CUDA libraries too (several GB), but needs none of them on a CPU.
CUDA_UNUSED = ("libcusparse.so.12", "libcufft.so.12", "libcusparseLt.so.0", "libnccl.so.2", "libcublas.so.13",
               "libcublasLt.so.13", "libcudnn.so.9", "libnvrtc.so.13")

def enter_venv(work):
    """Goes on in the venv in `work`, made and filled first. Returns there: why which package is missing."""
    python, record = work / "venv/bin/python", work / "packages.json"
    have = json.loads(record.read_text()) if record.exists() else {}
    if Path(sys.prefix) == work / "venv":
        return have["missing"]
    if have != {"packages": PACKAGES, "missing": {}}:
        venv.create(work / "venv", with_pip=True)
        missing = {name: reason for name in PACKAGES if (reason := install(python, name))}
        record.write_text(json.dumps({"packages": PACKAGES, "missing": missing}))
    os.execv(python, [python, *sys.argv])

def install(python, name):
    """Installs a group of packages; the reason if that fails."""
    print(f"installing {name}", file=sys.stderr)
    for call in PACKAGES[name]:
        pip = [python, "-m", "pip", "install", "--quiet", *call.split()]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            return "not installed: " + last_line(done.stderr)
    if name == "sentence-transformers":
        stand_in_for_cuda(next((python.parent.parent / "lib").glob("python*/site-packages")))
    return ""

def stand_in_for_cuda(packages):
    """Puts a small library of torch's own where torch looks for those it does not need; see `main`."""
    for library in CUDA_UNUSED:
        shutil.copy(packages / "torch/lib/libtorch_global_deps.so", packages / "nvidia/cu13/lib" / library)

def last_line(text):
    lines = [line for line in text.strip().splitlines() if line and not line.startswith("note:")]
    return lines[-1][:160] if lines else ""

def json_lines(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]

def write_lines(path, texts):
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return path

def tokenizer_of(model):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)
    return tokenizer

def make_passages(args):
    """Pieces of about 200 tokens of the documents, in their order."""
    tokenizer = tokenizer_of(args.model)
    tokenizer.no_truncation()
    for document in json_lines(args.corpus / "corpus.jsonl.gz"):
        text = f"{document['title']}. {document['text']}"
        places = tokenizer.encode(text, add_special_tokens=False).offsets
        for start in range(0, len(places), PASSAGE_TOKENS):
            piece = places[start : start + PASSAGE_TOKENS]
            if len(piece) >= PASSAGE_TOKENS_MIN:
                yield text[piece[0][0] : piece[-1][1]]

# Embedding engines: each makes a function from texts to vectors of length 1.

def sentence_transformers(args, _kind):
    import torch
    from sentence_transformers import SentenceTransformer
    torch.set_num_threads(CORES)
    model = SentenceTransformer(str(args.model), device="cpu")
    model.max_seq_length = TOKENS_MAX
    options = {"batch_size": BATCH, "normalize_embeddings": True, "show_progress_bar": False}
    return lambda texts: model.encode(texts, **options)

def onnx(args, kind):
    """onnxruntime with the exported model; longest texts first, as sentence-transformers orders them too."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = CORES
    session = onnxruntime.InferenceSession(args.work / f"{kind}.onnx", options, providers=["CPUExecutionProvider"])
    tokenizer = tokenizer_of(args.model)

    def embed(texts):
        encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        order = sorted(range(len(texts)), key=lambda i: -len(encoded[i]))
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        rows = np.concatenate([embed_batch(session, [encoded[i] for i in batch]) for batch in batches])
        return rows[np.argsort(order)]
    return embed

def embed_batch(session, encoded):
    ids = np.zeros((len(encoded), max(map(len, encoded))), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(encoded):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    total = (session.run(["hidden"], inputs)[0] * mask[:, :, None].astype(np.float32)).sum(1)
    return total / np.linalg.norm(total, axis=1, keepdims=True)

def export(args, engine):
    """Writes `f32.onnx` and `int8.onnx`; with plain attention, which onnxruntime quantises and runs best."""
    import torch
    from onnxruntime.quantization import quantize_dynamic
    from transformers import AutoModel
    bert = AutoModel.from_pretrained(args.model, attn_implementation="eager").eval()
    whole, names, ones = bert.forward, ["input_ids", "attention_mask", "token_type_ids"], torch.ones((2, 16)).long()
    bert.forward = lambda *values: whole(**dict(zip(names, values))).last_hidden_state
    plain, axes = str(args.work / "f32.onnx"), {0: "texts", 1: "tokens"}
    torch.onnx.export(bert, (ones, ones, ones * 0), plain, input_names=names, output_names=["hidden"],
                      dynamic_axes={name: axes for name in [*names, "hidden"]}, opset_version=17, dynamo=False)
    quantize_dynamic(plain, str(args.work / "int8.onnx"), per_channel=True)
    print("{}")

REFERENCE = "sentence-transformers f32"
EMBEDDERS = {REFERENCE: sentence_transformers, "onnxruntime f32": onnx, "onnxruntime int8": onnx}
OURS = {"synod int8": "int8", "synod f32": "f32"}
EMBEDDING = ("engine tokens_per_s tokens_per_cpu_s query_p50_ms query_p99_ms cosine_mean cosine_min max_rss_mb"
             " seconds cpu_seconds tokens note").split()
INDEXES = "hnswlib HNSW16", "usearch f32", "usearch i8", "faiss Flat", "faiss HNSW16", "faiss SQ8"
VECTORS = "engine setting build_cpu_s memory_mb recall10 p50_ms p99_ms note".split()

def embed_task(args, engine, texts, queries, out):
    """Measures one engine, prints one JSON line and writes the vectors of texts and queries."""
    texts, queries = json_lines(Path(texts)), json_lines(Path(queries))
    embed = EMBEDDERS[engine](args, engine.split()[1])
    embed(texts[:BATCH]), embed(queries[:1])
    start, cpu = time.perf_counter(), time.process_time()
    vectors = embed(texts)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    found, p50, p99 = one_at_a_time(lambda query: embed([query])[0], queries)
    np.concatenate([vectors, found]).astype("<f4").tofile(out)
    print(json.dumps({
        "tokens": sum(len(encoding.ids) for encoding in tokenizer_of(args.model).encode_batch(texts)),
        "seconds": seconds, "cpu_seconds": cpu_seconds, "query_p50_ms": p50, "query_p99_ms": p99,
        "max_rss_mb": memory_mb("VmHWM")}))

def one_at_a_time(act, values):
    """What `act` gives for each value, and the median and 99th percentile of its time in ms."""
    found, times = [], []
    for value in values:
        start = time.perf_counter()
        found.append(act(value))
        times.append((time.perf_counter() - start) * 1e3)
    return found, *map(float, np.percentile(times, [50, 99]))

def memory_mb(field):
    """This process's memory. Not `ru_maxrss`: that starts with the parent's."""
    return int(re.search(field + r":\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024

# Vector indexes: each makes a search function, and one that sets the search width if there is such a thing.

def hnswlib_index(hnswlib, _kind, vectors):
    index = hnswlib.Index(space="ip", dim=DIMENSIONS)
    index.init_index(len(vectors), M=LINKS, ef_construction=BUILD_WIDTH)
    index.add_items(vectors, num_threads=1)
    return (lambda probe: index.knn_query(probe, NEIGHBOURS, num_threads=1)[0][0]), index.set_ef

def usearch_index(usearch, kind, vectors):
    index = usearch.Index(ndim=DIMENSIONS, metric="cos", dtype=kind, connectivity=LINKS, expansion_add=BUILD_WIDTH)
    index.add(np.arange(len(vectors)), vectors, threads=1)
    search = lambda probe: index.search(probe, NEIGHBOURS, threads=1).keys
    return search, lambda width: setattr(index, "expansion_search", width)

def faiss_index(faiss, kind, vectors):
    faiss.omp_set_num_threads(1)
    index = faiss.index_factory(DIMENSIONS, kind, faiss.METRIC_INNER_PRODUCT)
    graph = getattr(index, "hnsw", None)
    if graph:
        graph.efConstruction = BUILD_WIDTH
    index.train(vectors)
    index.add(vectors)
    search = lambda probe: index.search(probe[None], NEIGHBOURS)[1][0]
    return search, graph and (lambda width: setattr(graph, "efSearch", width))

BUILD = {"hnswlib": hnswlib_index, "usearch": usearch_index, "faiss": faiss_index}

def index_task(args, engine):
    """Measures one index; a JSON line for each search width."""
    vectors, probes = (rows_at(args.work / name) for name in ("vectors.f32", "probes.f32"))
    truth = np.load(args.work / "truth.npy")
    library, kind = engine.split()
    module = import_module("usearch.index" if library == "usearch" else library)
    before, cpu = memory_mb("VmRSS"), time.process_time()
    search, set_width = BUILD[library](module, kind, vectors)
    cpu, memory = time.process_time() - cpu, memory_mb("VmRSS") - before
    for width in SEARCH_WIDTHS if set_width else [None]:
        if width:
            set_width(width)
        one_at_a_time(search, probes[:20])
        found, p50, p99 = one_at_a_time(search, probes)
        right = sum(len(set(map(int, ids)) & set(map(int, exact))) for ids, exact in zip(found, truth))
        print(json.dumps({"engine": engine, "setting": f"ef {width}" if width else "all", "build_cpu_s": cpu,
                          "memory_mb": memory, "recall10": right / truth.size, "p50_ms": p50, "p99_ms": p99}))

def rows_at(path):
    return np.fromfile(path, "<f4").reshape(-1, DIMENSIONS)

def run(args, engine, **files):
    """The JSON lines that an engine's process prints, and what went wrong."""
    names = {name: str(file) for name, file in files.items()}
    command = [sys.executable, __file__, "--work", args.work, "--model", args.model,
               "--task", json.dumps({"engine": engine, **names})]
    if engine in OURS:
        command = [args.bench, "embed", args.model, names["texts"], names["queries"],
                   "--precision", OURS[engine], "--out", names["out"]]
    elif engine == "synod":
        command = [args.bench, "vectors", args.work / "vectors.f32", args.work / "probes.f32", DIMENSIONS]
    print("running", engine, file=sys.stderr)
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"{Path(command[0]).name}: {getattr(error, 'strerror', f'not done in {LIMIT_S} s')}"
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    wrong = args.missing.get(engine.split()[0]) or last_line(done.stderr) or f"exit code {done.returncode}, no rows"
    return rows, wrong if done.returncode or not rows else ""

def compare_embedding(args, passages, questions):
    """The rows of the first table."""
    texts = write_lines(args.work / "texts.jsonl", passages[:: max(1, len(passages) // args.texts)][: args.texts])
    queries = write_lines(args.work / "queries.jsonl", questions[: args.queries])
    for old in args.work.glob("* *.f32"):
        old.unlink()
    tried = {engine: [] for engine in [*EMBEDDERS, *OURS]}
    for turn in range(ROUNDS):
        os.environ["OMP_WAIT_POLICY"] = WAITING[turn % len(WAITING)]
        for engine, rounds in tried.items():
            rounds.append(run(args, engine, texts=texts, queries=queries, out=args.work / f"{engine}.f32"))
    return [embedding_row(args.work, engine, rounds) for engine, rounds in tried.items()]

def embedding_row(work, engine, rounds):
    """The best of an engine's rounds, or why there is none."""
    good = [rows[0] for rows, wrong in rounds if not wrong]
    if not good:
        return {"engine": engine, "note": rounds[0][1]}
    row = min(good, key=lambda row: row["seconds"]) | {"engine": engine}
    row |= {key: min(each[key] for each in good) for key in ("query_p50_ms", "query_p99_ms")}
    row |= {"tokens_per_s": row["tokens"] / row["seconds"], "tokens_per_cpu_s": row["tokens"] / row["cpu_seconds"]}
    row.pop("dimensions", None)
    try:
        ours, theirs = rows_at(work / f"{engine}.f32"), rows_at(work / f"{REFERENCE}.f32")
        cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
        return row | {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}
    except (OSError, ValueError) as error:
        return row | {"note": f"no cosine: {error}"}

def show_peak(args, rows):
    """Prints what the processor can do, and which share of that each engine reaches."""
    done = subprocess.run([args.bench, "peak"], capture_output=True, text=True)
    peak = json.loads(done.stdout or "{}")
    if not peak.get("int8_gops"):
        return print("\nThe processor's peak could not be measured.")
    print(f"\nPeak of {peak['threads']} cores, in registers: {peak['f32_gflops']:.0f} GFLOP/s in f32,"
          f" {peak['int8_gops']:.0f} GOP/s in bytes. {TOKEN_OPS / 1e6:.1f} million operations a token:")
    for row in rows:
        kind = "int8_gops" if "int8" in row["engine"] else "f32_gflops"
        reached = row.get("tokens_per_s", 0) * TOKEN_OPS / 1e9
        print(f"- {row['engine']}: {reached:.0f} a second, {100 * reached / peak[kind]:.0f} % of {kind[:4].strip('_')}")

def make_vectors(args, passages, questions):
    """Writes `vectors.f32`, `probes.f32` and the probes' true neighbours; says what the vectors are."""
    texts = write_lines(args.work / "passages.jsonl", passages[: args.vectors])
    queries = write_lines(args.work / "probes.jsonl", questions[:PROBES])
    digest = hashlib.sha256(texts.read_bytes() + (args.model / "model.safetensors").read_bytes()).hexdigest()
    kept = args.work / f"passages-{digest[:12]}.f32"
    if not kept.exists() and (wrong := run(args, "onnxruntime f32", texts=texts, queries=queries, out=kept)[1]):
        sys.exit(f"no vectors: {wrong}")
    real, probes = np.split(rows_at(kept), [min(args.vectors, len(passages))])
    random = np.random.default_rng(7)
    copies = real[random.integers(0, len(real), args.vectors - len(real))]
    copies = copies + random.normal(0, JITTER, copies.shape)
    vectors = np.concatenate([real, copies / np.linalg.norm(copies, axis=1, keepdims=True)]).astype("<f4")
    vectors.tofile(args.work / "vectors.f32")
    probes.tofile(args.work / "probes.f32")
    np.save(args.work / "truth.npy", np.argsort(-(probes @ vectors.T), axis=1)[:, :NEIGHBOURS])
    return f"{len(real)} passages, {len(copies)} copies of them with noise of sigma {JITTER} per component"

def show(title, path, columns, rows):
    """Prints the rows as a Markdown table and writes them as CSV; what has no column is a note."""
    for row in rows:
        row.setdefault("note", ", ".join(f"{key} {cell(row[key])}" for key in row if key not in columns))
    print_table(title, columns, rows)
    write_csv(path, columns, rows)

def cell(value):
    return value if isinstance(value, str) else f"{value:.0f}" if value >= 100 else f"{value:.4g}"

def print_table(title, columns, rows):
    print(f"\n{title}; load {os.getloadavg()}\n")
    for line in columns, ["---"] * len(columns), *([row.get(key, "") for key in columns] for row in rows):
        print("|", " | ".join(map(cell, line)), "|")

def write_csv(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *([row.get(key, "") for key in columns] for row in rows)])

def arguments():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default, what in (
            ("bench", ROOT / "target/release/examples/bench", "synod's side"), ("texts", 512, "passages embedded"),
            ("queries", 200, "questions embedded one at a time"), ("vectors", 20_000, "vectors searched"),
            ("work", ROOT / "target/bench-peers", "folder of all that is written"),
            ("model", ROOT / "target/models/all-MiniLM-L6-v2", "its folder"),
            ("corpus", ROOT.parent / "shared/data/retrieval/scifact", "folder: corpus.jsonl.gz, queries.jsonl.gz")):
        parser.add_argument(f"--{name}", type=type(default), default=default, help=what)
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)  # for this script's own processes
    args = parser.parse_args()
    args.bench, args.work, args.model = args.bench.resolve(), args.work.resolve(), args.model.resolve()
    return args

def main():
    args = arguments()
    if args.task:
        sys.setdlopenflags(os.RTLD_LAZY)  # torch: the functions that the copied libraries lack are never called
        os.environ["HF_HUB_OFFLINE"] = "1"
        tasks = {"export": export} | dict.fromkeys(EMBEDDERS, embed_task) | dict.fromkeys(INDEXES, index_task)
        return tasks[args.task["engine"]](args, **args.task)
    for needed in (args.model / "model.safetensors", args.corpus / "corpus.jsonl.gz"):
        if not needed.exists():
            sys.exit(f"{needed} is missing; see --help")
    args.work.mkdir(parents=True, exist_ok=True)
    args.missing = enter_venv(args.work)
    processor = re.search(r"model name\s*: (.*)|$", Path("/proc/cpuinfo").read_text())[1]
    print(f"{processor}, {CORES} cores; load {os.getloadavg()}\n")
    print(*re.findall(r"[\w-]+==[\w.]+", str(PACKAGES)))
    passages = list(make_passages(args))
    questions = [question["text"] for question in json_lines(args.corpus / "queries.jsonl.gz")]
    if wrong := run(args, "export")[1]:
        args.missing.setdefault("onnxruntime", wrong)
    rows = compare_embedding(args, passages, questions)
    show(f"Embedding, best of {ROUNDS} rounds", args.work / "embedding.csv", EMBEDDING, rows)
    show_peak(args, rows)
    title = f"Vector search, {make_vectors(args, passages, questions)}; {PROBES} questions, one thread"
    tried = [(engine, *run(args, engine)) for engine in [*INDEXES, "synod"]]
    rows = [row for engine, found, wrong in tried for row in found + [{"engine": engine, "note": wrong}] * bool(wrong)]
    show(title, args.work / "vectors.csv", VECTORS, rows)

if __name__ == "__main__":
    main()

"""Makes tests/golden/shapes.json: vectors of small BERTs of other shapes than all-MiniLM-L6-v2's, by torch.

    python3 tests/golden/shapes.py > tests/golden/shapes.json      (needs torch and transformers)

Their weights follow a formula, which tests/it/model.rs repeats, so that no weights need to be kept. All of them are
multiples of 1/128, which 16-bit floats hold exactly.
"""

import json

import torch
from transformers import BertConfig, BertModel

WORDS = "the a river bridge ferry bread rye oven letter choir sings at dawn and dusk stone bird ##s ##ing".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
TEXTS = ["river", "the ferry at dawn", "birds singing", "rye bread and stone oven letter choir sings at dusk the a river"]
SHAPES = [
    # As bge and arctic-embed pool, with sizes that fill neither a word nor a panel of the kernels.
    dict(name="cls", pooling="cls", dtype="F32", prefix="", hidden=48, heads=4, layers=2, wide=90, window=12),
    # As gte keeps its weights, with the names that some files have.
    dict(name="half", pooling="mean", dtype="F16", prefix="bert.", hidden=64, heads=2, layers=3, wide=256, window=32),
    dict(name="brain", pooling="mean", dtype="BF16", prefix="", hidden=128, heads=8, layers=1, wide=70, window=16),
]


def value(seed, at):
    """A multiple of 1/128 between -1/4 and 1/4."""
    return (((at * 31 + seed) * 2654435761 % 2**32 >> 26) - 32) / 128


def fill(name, tensor):
    seed = sum(name.encode()) * 7919
    values = torch.tensor([value(seed, at) for at in range(tensor.numel())]).reshape(tensor.shape)
    return values + 1 if name.endswith("LayerNorm.weight") else values


def vectors(shape):
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=shape["hidden"], num_attention_heads=shape["heads"],
        num_hidden_layers=shape["layers"], intermediate_size=shape["wide"], max_position_embeddings=shape["window"],
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(fill(name, parameter))
        for text in TEXTS:
            pieces = text.replace("birds", "bird ##s").replace("singing", "[UNK]").split()
            ids = [2, *(VOCABULARY.index(piece) for piece in pieces)][: shape["window"] - 1] + [3]
            tokens = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
            vector = tokens[0] if shape["pooling"] == "cls" else tokens.mean(0)
            yield [round(x, 6) for x in (vector / vector.norm()).tolist()]


cases = [dict(shape, vectors=list(vectors(shape))) for shape in SHAPES]
print(json.dumps(dict(made_by="torch, transformers", vocabulary=VOCABULARY, texts=TEXTS, shapes=cases)))

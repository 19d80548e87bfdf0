#!/usr/bin/env python3
"""Write a tiny llama model with random weights as a GGUF file: enough for a real llama.cpp server to serve.

Its answers are made-up words; what matters is that the server around it is the real one. Standard library only.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
import argparse
import array
import math
import random
import struct

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
ALIGNMENT = 32
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, item):
    if kind == STRING:
        return string(item)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], item)


def entry(key, kind, item):
    return string(key) + struct.pack("<I", kind) + value(kind, item)


def list_entry(key, kind, items):
    head = string(key) + struct.pack("<IIQ", ARRAY, kind, len(items))
    return head + b"".join(value(kind, item) for item in items)


def byte_alphabet():
    """GPT-2's printable stand-in for each of the 256 bytes."""
    printable = set(range(33, 127)) | set(range(161, 173)) | set(range(174, 256))
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def vocabulary(rng, words):
    alphabet = byte_alphabet()
    made = {}
    while len(made) < words:
        syllables = rng.randint(1, 4)
        made["".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(syllables))] = True
    space = alphabet[ord(" ")]
    tokens = alphabet + [space + word for word in made]
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return tokens + specials, [1] * len(tokens) + [3] * len(specials)


def floats(items):
    return array.array("f", items).tobytes()


class Weights:
    def __init__(self, rng, embedding):
        self.rng, self.embedding, self.tensors = rng, embedding, []

    def ones(self, name, size):
        self.tensors.append((name, (size,), floats([1.0] * size)))

    def matrix(self, name, inputs, outputs, deviation, first_column=None):
        """Rows of `inputs` numbers, one a row of output; `first_column` gives each row's first number."""
        numbers = [self.rng.gauss(0, deviation) for _ in range(inputs * outputs)]
        if first_column:
            for row in range(outputs):
                numbers[row * inputs] = first_column(row)
        self.tensors.append((name, (inputs, outputs), floats(numbers)))


def build(args):
    rng = random.Random(args.seed)
    tokens, types = vocabulary(rng, args.words)
    size, end = args.embedding, len(tokens) - 1
    key_size = size // args.heads * args.kv_heads

    # The embedding's first number is the same for every token, so the first column of the output matrix acts as a
    # bias for each token: words are likely, raw bytes are not (every token is then clean text), the end as asked.
    def bias(token):
        if token == end:
            return args.end_bias / 5
        return 0.0 if 256 <= token < 256 + args.words else -8.0

    weights = Weights(rng, size)
    weights.matrix("token_embd.weight", size, len(tokens), 0.25, lambda _: 2.0)
    weights.ones("output_norm.weight", size)
    weights.matrix("output.weight", size, len(tokens), 0.35, bias)
    spread = 0.5 / math.sqrt(size)
    for layer in range(args.layers):
        def name(part):
            return f"blk.{layer}.{part}.weight"
        weights.ones(name("attn_norm"), size)
        weights.matrix(name("attn_q"), size, size, spread)
        weights.matrix(name("attn_k"), size, key_size, spread)
        weights.matrix(name("attn_v"), size, key_size, spread)
        weights.matrix(name("attn_output"), size, size, spread)
        weights.ones(name("ffn_norm"), size)
        weights.matrix(name("ffn_gate"), size, args.feed_forward, spread)
        weights.matrix(name("ffn_up"), size, args.feed_forward, spread)
        weights.matrix(name("ffn_down"), args.feed_forward, size, 0.3 / math.sqrt(args.feed_forward))

    metadata = [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, args.name),
        entry("general.alignment", UINT32, ALIGNMENT),
        entry("llama.context_length", UINT32, args.context),
        entry("llama.embedding_length", UINT32, size),
        entry("llama.block_count", UINT32, args.layers),
        entry("llama.feed_forward_length", UINT32, args.feed_forward),
        entry("llama.attention.head_count", UINT32, args.heads),
        entry("llama.attention.head_count_kv", UINT32, args.kv_heads),
        entry("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        entry("llama.rope.dimension_count", UINT32, size // args.heads),
        entry("llama.vocab_size", UINT32, len(tokens)),
        entry("tokenizer.ggml.model", STRING, "gpt2"),
        entry("tokenizer.ggml.pre", STRING, "llama-bpe"),
        list_entry("tokenizer.ggml.tokens", STRING, tokens),
        list_entry("tokenizer.ggml.token_type", INT32, types),
        list_entry("tokenizer.ggml.merges", STRING, [tokens[ord(" ")] + " a"]),  # must exist, need not do anything
        entry("tokenizer.ggml.bos_token_id", UINT32, end - 2),
        entry("tokenizer.ggml.eos_token_id", UINT32, end),
        entry("tokenizer.ggml.add_bos_token", BOOL, False),
        entry("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]
    return metadata, weights.tensors


def padding(length):
    return b"\0" * (-length % ALIGNMENT)


def write(path, metadata, tensors):
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(metadata)
    offset = 0
    for name, shape, data in tensors:  # fastest dimension first; type 0 is float32
        header += string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", 0, offset)
        offset += len(data) + len(padding(len(data)))
    with open(path, "wb") as out:
        out.write(header + padding(len(header)))
        for _, _, data in tensors:
            out.write(data + padding(len(data)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--name", default="tiny")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another text")
    parser.add_argument("--end-bias", type=float, default=-4.0, help="-4: ends now and then; -30: never by itself")
    for key, default in dict(embedding=64, layers=2, feed_forward=128, heads=4, kv_heads=2, context=8192,
                             words=512).items():
        parser.add_argument("--" + key.replace("_", "-"), type=int, default=default)
    args = parser.parse_args()
    write(args.out, *build(args))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Write a tiny llama model with random weights as a Hugging Face folder: enough for a real vLLM to serve.

The same made-up language as make_gguf.py writes. Needs torch, transformers and tokenizers: vLLM brings them.
"""
import argparse
import random

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from make_gguf import CHAT_TEMPLATE, vocabulary


def tokenizer(tokens):
    """Whole words where the vocabulary has them (no merges lead there), else one token a byte."""
    made = Tokenizer(BPE({token: k for k, token in enumerate(tokens)}, [], ignore_merges=True))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    start, turn, end = tokens[-3:]
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=start, eos_token=end,
                                      additional_special_tokens=[turn])
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def model(args, tokens):
    torch.manual_seed(args.seed)
    size, end = args.embedding, len(tokens) - 1
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=size, intermediate_size=2 * size, num_hidden_layers=args.layers,
        num_attention_heads=args.heads, num_key_value_heads=args.heads // 2, max_position_embeddings=args.context,
        tie_word_embeddings=False, bos_token_id=end - 2, eos_token_id=end, dtype="float32")
    made = LlamaForCausalLM(config)
    with torch.no_grad():
        # The embedding's first number is the same for every token, so the first column of the output matrix acts as a
        # bias for each token: words are likely, raw bytes are not, the end as asked.
        made.model.embed_tokens.weight.normal_(0, 0.25)
        made.model.embed_tokens.weight[:, 0] = 2.0
        made.lm_head.weight.normal_(0, 0.35)
        bias = torch.full((len(tokens),), -8.0)
        bias[256:256 + args.words] = 0.0
        bias[end] = args.end_bias / 5
        made.lm_head.weight[:, 0] = bias
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="a folder")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another text")
    parser.add_argument("--end-bias", type=float, default=-30.0, help="-4: ends now and then; -30: never by itself")
    for key, default in dict(embedding=128, layers=2, heads=4, context=4096, words=512).items():
        parser.add_argument("--" + key, type=int, default=default)
    args = parser.parse_args()
    tokens, _ = vocabulary(random.Random(args.seed), args.words)
    tokenizer(tokens).save_pretrained(args.out)
    model(args, tokens).save_pretrained(args.out, safe_serialization=True)


if __name__ == "__main__":
    main()

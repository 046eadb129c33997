"""Weights for a real model server that need no download: a random Llama of a few hundred kilobytes.

    python tests/models/tiny_weights.py tiny.gguf

What it says means nothing, but a server that loads it tokenizes, samples, streams, counts and constrains by grammar as
it would with weights that were learnt. The same seed gives the same bytes. The file is GGUF, version 3, as
``docs/gguf.md`` of ggml describes it: header, metadata, where each tensor lies, the tensors.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

EMBEDDING, LAYERS, HEADS, FEED_FORWARD, CONTEXT = 64, 2, 4, 128, 16_384
_ALIGNMENT = 32
_UINT32, _INT32, _FLOAT32, _BOOL, _TEXT, _LIST = 4, 5, 6, 7, 8, 9
#: What a token is, by SentencePiece's numbers.
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6

#: Messages as in ChatML; tools and calls as JSON between tags, as Hermes has them.
TEMPLATE = """\
{%- if tools %}<|im_start|>system
You may call functions. Their schemas: <tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>
Answer with <tool_call>{"name": <name>, "arguments": <arguments>}</tool_call>.<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.content %}{{ message.content }}{% endif %}
{%- if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant{{ "\n" if tools else ":" }}{% endif %}"""
#: What nearly always follows what, so that an answer begins with a call where there are tools, and ends after it.
HABITS = (("\n", "<tool_call>\n"), (">", "<|im_end|>"))


def vocabulary() -> list[tuple[str, int]]:
    """The tokens with what each is: control tokens, every byte, every printable character, some words."""
    controls = [("<unk>", _UNKNOWN), ("<s>", _CONTROL), ("</s>", _CONTROL)]
    controls += [("<|im_start|>", _CONTROL), ("<|im_end|>", _CONTROL)]
    letters = [chr(code) for code in range(33, 127)] + ["\u2581", "\n", "é", "ß", "語"]
    words = ["\u2581the", "\u2581a", "\u2581of", "ing", "\u2581and", "\u2581is", "er", "\u2581you"]
    words += ["<tool_call>\n"]
    return controls + [(f"<0x{byte:02X}>", _BYTE) for byte in range(256)] + [(one, _NORMAL) for one in letters + words]


def metadata() -> dict[str, tuple[int, Any]]:
    """The keys that a loader of Llama models asks for; each value with its type."""
    tokens = vocabulary()
    return {
        "general.architecture": (_TEXT, "llama"),
        "general.name": (_TEXT, "tiny-random"),
        "llama.context_length": (_UINT32, CONTEXT),
        "llama.embedding_length": (_UINT32, EMBEDDING),
        "llama.block_count": (_UINT32, LAYERS),
        "llama.feed_forward_length": (_UINT32, FEED_FORWARD),
        "llama.attention.head_count": (_UINT32, HEADS),
        "llama.attention.head_count_kv": (_UINT32, HEADS),
        "llama.attention.layer_norm_rms_epsilon": (_FLOAT32, 1e-5),
        "llama.rope.dimension_count": (_UINT32, EMBEDDING // HEADS),
        "tokenizer.ggml.model": (_TEXT, "llama"),
        "tokenizer.ggml.tokens": (_LIST, (_TEXT, [text for text, _ in tokens])),
        # Longer tokens score higher, so they are what a text is cut into.
        "tokenizer.ggml.scores": (_LIST, (_FLOAT32, [float(len(text)) for text, _ in tokens])),
        "tokenizer.ggml.token_type": (_LIST, (_INT32, [kind for _, kind in tokens])),
        "tokenizer.ggml.unknown_token_id": (_UINT32, 0),
        "tokenizer.ggml.bos_token_id": (_UINT32, 1),
        "tokenizer.ggml.eos_token_id": (_UINT32, 4),
        "tokenizer.ggml.add_bos_token": (_BOOL, True),
        # A space of its own after a control token would not be what a grammar for calls begins with.
        "tokenizer.ggml.add_space_prefix": (_BOOL, False),
        "tokenizer.chat_template": (_TEXT, TEMPLATE),
    }


def tensors(seed: int) -> dict[str, np.ndarray]:
    """The weights by name, each row of a matrix an output.

    The layers add little to the embedding of the last token, so that mostly decides what may follow.
    """
    random = np.random.default_rng(seed)
    place = {text: number for number, (text, _) in enumerate(vocabulary())}

    def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        return random.normal(0, scale * columns**-0.5, (rows, columns)).astype(np.float32)

    embedding, output = matrix(len(place), EMBEDDING), matrix(len(place), EMBEDDING)
    for last, following in HABITS:
        output[place[following]] += 2 * embedding[place[last]] / np.linalg.norm(embedding[place[last]])
    found = {"token_embd.weight": embedding}
    for layer in range(LAYERS):
        block = {name: matrix(EMBEDDING, EMBEDDING) for name in ("attn_q", "attn_k", "attn_v")}
        block |= {"attn_output": matrix(EMBEDDING, EMBEDDING, 0.1), "ffn_down": matrix(EMBEDDING, FEED_FORWARD, 0.1)}
        block |= {name: matrix(FEED_FORWARD, EMBEDDING) for name in ("ffn_gate", "ffn_up")}
        block |= {name: np.ones(EMBEDDING, np.float32) for name in ("attn_norm", "ffn_norm")}
        found |= {f"blk.{layer}.{name}.weight": values for name, values in block.items()}
    return found | {"output_norm.weight": np.ones(EMBEDDING, np.float32), "output.weight": output}


def write(path: Path, seed: int = 2) -> None:
    """The model as one file."""
    keys, weights = metadata(), tensors(seed)
    head = [b"GGUF", struct.pack("<IQQ", 3, len(weights), len(keys))]
    head += [_text(key) + struct.pack("<I", kind) + _value(kind, value) for key, (kind, value) in keys.items()]
    offset = 0
    for name, values in weights.items():
        sizes = values.shape[::-1]  # the fastest one first
        head.append(_text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, 0, offset))
        offset += len(_padded(values.tobytes()))
    path.write_bytes(_padded(b"".join(head)) + b"".join(_padded(values.tobytes()) for values in weights.values()))


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(kind: int, value: Any) -> bytes:
    if kind == _TEXT:
        return _text(value)
    if kind == _LIST:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(_value(inner, item) for item in items)
    return struct.pack({_UINT32: "<I", _INT32: "<i", _FLOAT32: "<f", _BOOL: "<?"}[kind], value)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGNMENT)


if __name__ == "__main__":
    write(Path(sys.argv[1]))

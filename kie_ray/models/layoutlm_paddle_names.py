"""Names of PaddleNLP's LayoutLM, whose encoder is Paddle's own `nn.TransformerEncoder`, as Hugging Face's."""

from __future__ import annotations

import re

_PREFIX = "layoutlm."
_LAYER = r"^encoder\.layers\.(\d+)\."
_RENAMED = (
    (r"^embeddings\.layer_norm\.", "embeddings.LayerNorm."),
    (_LAYER + r"self_attn\.q_proj\.", r"encoder.layer.\1.attention.self.query."),
    (_LAYER + r"self_attn\.k_proj\.", r"encoder.layer.\1.attention.self.key."),
    (_LAYER + r"self_attn\.v_proj\.", r"encoder.layer.\1.attention.self.value."),
    (_LAYER + r"self_attn\.out_proj\.", r"encoder.layer.\1.attention.output.dense."),
    (_LAYER + r"norm1\.", r"encoder.layer.\1.attention.output.LayerNorm."),
    (_LAYER + r"linear1\.", r"encoder.layer.\1.intermediate.dense."),
    (_LAYER + r"linear2\.", r"encoder.layer.\1.output.dense."),
    (_LAYER + r"norm2\.", r"encoder.layer.\1.output.LayerNorm."),
)
_HEAD = "cls.predictions."
_HEAD_RENAMED = (
    (r"^transform\.", "transform.dense."),
    (r"^layer_norm\.", "transform.LayerNorm."),
    (r"^decoder_weight$", "decoder.weight"),
    (r"^decoder_bias$", "bias"),
)

AS_IN_TORCH = frozenset({f"{_HEAD}decoder_weight"})
"""Weights that PaddleNLP multiplies transposed, so that they are stored [out, in] as torch's linear layers are."""


def paddle_name(name: str) -> str:
    """The name of a parameter of PaddleNLP's LayoutLM -> ours; `layoutlm.` before it stays, or stays away.

    Pooler, embedding tables and all heads but that for masked tokens keep their names. Only names are mapped: weights
    of linear layers are [in, out] in Paddle and have to be transposed, but for those `AS_IN_TORCH`. PaddleNLP's head
    for masked tokens normalises with an epsilon of 1e-5, ours with the encoder's 1e-12.
    """
    if name.startswith(_HEAD):
        rest = name.removeprefix(_HEAD)
        for pattern, replacement in _HEAD_RENAMED:
            rest = re.sub(pattern, replacement, rest)
        return _HEAD + rest
    bare = name.removeprefix(_PREFIX)
    for pattern, replacement in _RENAMED:
        bare = re.sub(pattern, replacement, bare)
    return _PREFIX + bare if name.startswith(_PREFIX) else bare

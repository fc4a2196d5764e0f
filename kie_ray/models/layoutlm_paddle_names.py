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


def paddle_name(name: str) -> str:
    """The name of a parameter of PaddleNLP's LayoutLM -> ours; `layoutlm.` before it stays, or stays away.

    Heads, pooler and embedding tables keep their names. Only names are mapped: weights of linear layers are [in, out]
    in Paddle and have to be transposed.
    """
    bare = name.removeprefix(_PREFIX)
    for pattern, replacement in _RENAMED:
        bare = re.sub(pattern, replacement, bare)
    return _PREFIX + bare if name.startswith(_PREFIX) else bare

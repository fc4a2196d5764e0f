"""The transformer layer of both families: BERT's (post-norm), its attention through `scaled_dot_product_attention`.

Parameter names are Hugging Face's. A configuration gives hidden_size, num_attention_heads, intermediate_size,
hidden_act, hidden_dropout_prob, attention_probs_dropout_prob, layer_norm_eps and fast_qkv.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from kie_ray.errors import ConfigError


class LayoutLMv2SelfAttention(nn.Module):
    """Multi-head attention with an additive mask that also carries the relative position bias."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        if config.hidden_size % config.num_attention_heads:
            raise ConfigError(
                f"num_attention_heads {config.num_attention_heads} does not divide hidden_size {config.hidden_size}"
            )
        self.heads = config.num_attention_heads
        self.fast_qkv = config.fast_qkv
        self.dropout = float(config.attention_probs_dropout_prob)
        if self.fast_qkv:
            self.qkv_linear = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
            self.q_bias = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
            self.v_bias = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        else:
            self.query = nn.Linear(config.hidden_size, config.hidden_size)
            self.key = nn.Linear(config.hidden_size, config.hidden_size)
            self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Float [B, L, H], additive [B, heads or 1, L or 1, L] -> float [B, L, H]."""
        if self.fast_qkv:
            query, key, value = self.qkv_linear(hidden).chunk(3, dim=-1)
            query, value = query + self.q_bias.to(query.dtype), value + self.v_bias.to(value.dtype)
        else:
            query, key, value = self.query(hidden), self.key(hidden), self.value(hidden)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        # Dropout inside this call forces the slow path, which costs most of a training step on a CPU.
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return mixed.transpose(1, 2).flatten(2)


class LayoutLMv2Output(nn.Module):
    """Linear layer, dropout, residual, LayerNorm: the end of both halves of a layer."""

    def __init__(self, config: Any, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, inner: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(inner)) + residual)


class LayoutLMv2Attention(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.self = LayoutLMv2SelfAttention(config)
        self.output = LayoutLMv2Output(config, config.hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.self(hidden, mask), hidden)


class LayoutLMv2Intermediate(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, hidden: Tensor) -> Tensor:
        return self.activation(self.dense(hidden))


class LayoutLMv2Layer(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.attention = LayoutLMv2Attention(config)
        self.intermediate = LayoutLMv2Intermediate(config)
        self.output = LayoutLMv2Output(config, config.intermediate_size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.attention(hidden, mask)
        return self.output(self.intermediate(hidden), hidden)


class LayoutLMv2Pooler(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [B, L, H] -> [B, H], from the first token."""
        return torch.tanh(self.dense(hidden[:, 0]))

"""LayoutLMv2 / LayoutXLM / VI-LayoutXLM token encoder (Xu et al. 2020, 2021; PP-StructureV2 2022) in plain PyTorch.

Parameter names are Hugging Face's. The variant without visual backbone drops the 49 visual positions that PaddleNLP
keeps masked in the sequence: as keys they weigh exactly 0, so the text outputs are the same. Boxes are x0 y0 x1 y1 in
0..1000 of the page.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling

from kie_ray.errors import ConfigError
from kie_ray.models.relative_bias import attention_mask_bias, sequence_bias, spatial_bias


class LayoutLMv2Config(PreTrainedConfig):
    """Fields as Hugging Face's class of the same name, and these.

    `use_visual_backbone`: tokens of the page image join the sequence. `add_pooler`: carry the pooler of published
    checkpoints, which no task here uses. `use_1d_positions`: add the absolute position embedding. `num_entity_labels`:
    rows of the RE head's label embedding. `relation_geometry`: width of the RE head's geometry network, 0 for none.
    """

    model_type = "layoutlmv2"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    max_2d_position_embeddings: int = 1024
    max_rel_pos: int = 128
    rel_pos_bins: int = 32
    fast_qkv: bool = True
    max_rel_2d_pos: int = 256
    rel_2d_pos_bins: int = 64
    image_feature_pool_shape: list[int] | tuple[int, ...] = (7, 7, 256)
    coordinate_size: int = 128
    shape_size: int = 128
    has_relative_attention_bias: bool = True
    has_spatial_attention_bias: bool = True
    has_visual_segment_embedding: bool = False
    use_visual_backbone: bool = False
    add_pooler: bool = False
    use_1d_positions: bool = True
    num_entity_labels: int = 3
    relation_geometry: int = 0
    tie_word_embeddings: bool = True


class LayoutLMv2Embeddings(nn.Module):
    """Sum of word, 1D position, box and token type embeddings, normalised."""

    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__()
        width = 4 * config.coordinate_size + 2 * config.shape_size
        if width != config.hidden_size:
            raise ConfigError(
                f"4 * coordinate_size + 2 * shape_size is {width}, it must equal hidden_size {config.hidden_size}"
            )
        reach = config.max_2d_position_embeddings
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        if config.use_1d_positions:
            self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.x_position_embeddings = nn.Embedding(reach, config.coordinate_size)
        self.y_position_embeddings = nn.Embedding(reach, config.coordinate_size)
        self.h_position_embeddings = nn.Embedding(reach, config.shape_size)
        self.w_position_embeddings = nn.Embedding(reach, config.shape_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.use_1d_positions = config.use_1d_positions

    def spatial(self, bbox: Tensor) -> Tensor:
        """int64 [B, L, 4] -> float [B, L, H]: left, top, right, bottom, height, width side by side."""
        left, top, right, bottom = bbox.unbind(-1)
        parts = [
            self.x_position_embeddings(left),
            self.y_position_embeddings(top),
            self.x_position_embeddings(right),
            self.y_position_embeddings(bottom),
            self.h_position_embeddings(bottom - top),
            self.w_position_embeddings(right - left),
        ]
        return torch.cat(parts, dim=-1)

    def forward(self, input_ids: Tensor, bbox: Tensor, positions: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """int64 [B, T], [B, T, 4], [T], [B, T] -> float [B, T, H]."""
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        total = self.word_embeddings(input_ids) + self.spatial(bbox) + self.token_type_embeddings(token_type_ids)
        if self.use_1d_positions:
            total = total + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(total))


class LayoutLMv2SelfAttention(nn.Module):
    """Multi-head attention with an additive mask that also carries the relative position bias."""

    def __init__(self, config: LayoutLMv2Config) -> None:
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

    def __init__(self, config: LayoutLMv2Config, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, inner: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(inner)) + residual)


class LayoutLMv2Attention(nn.Module):
    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__()
        self.self = LayoutLMv2SelfAttention(config)
        self.output = LayoutLMv2Output(config, config.hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.self(hidden, mask), hidden)


class LayoutLMv2Intermediate(nn.Module):
    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, hidden: Tensor) -> Tensor:
        return self.activation(self.dense(hidden))


class LayoutLMv2Layer(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__()
        self.attention = LayoutLMv2Attention(config)
        self.intermediate = LayoutLMv2Intermediate(config)
        self.output = LayoutLMv2Output(config, config.intermediate_size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.attention(hidden, mask)
        return self.output(self.intermediate(hidden), hidden)


class LayoutLMv2Encoder(nn.Module):
    """The layers and the relative position bias that they share."""

    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__()
        self.config = config
        self.layer = nn.ModuleList(LayoutLMv2Layer(config) for _ in range(config.num_hidden_layers))
        heads = config.num_attention_heads
        if config.has_relative_attention_bias:
            self.rel_pos_bias = nn.Linear(config.rel_pos_bins, heads, bias=False)
        if config.has_spatial_attention_bias:
            self.rel_pos_x_bias = nn.Linear(config.rel_2d_pos_bins, heads, bias=False)
            self.rel_pos_y_bias = nn.Linear(config.rel_2d_pos_bins, heads, bias=False)

    def mask(self, bbox: Tensor, positions: Tensor, attention_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """Additive attention mask of the batch: relative bias and padding in one; None when neither applies."""
        config = self.config
        bias: Tensor | None = None
        if config.has_spatial_attention_bias:
            bias = spatial_bias(
                self.rel_pos_x_bias.weight,
                self.rel_pos_y_bias.weight,
                bbox[..., 0],
                bbox[..., 3],  # the bottom edge, as published
                config.max_rel_2d_pos,
                config.max_2d_position_embeddings - 1,
            )
        if config.has_relative_attention_bias:
            along = sequence_bias(self.rel_pos_bias.weight, positions, config.max_rel_pos)
            bias = along if bias is None else bias + along
        return attention_mask_bias(attention_mask, bias, dtype)

    def forward(
        self, hidden: Tensor, bbox: Tensor, positions: Tensor, attention_mask: Tensor | None, keep_all: bool = False
    ) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        """Returns the last hidden states [B, L, H] and, with `keep_all`, those before and after every layer."""
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        mask = self.mask(bbox, positions, attention_mask, dtype)
        kept = [hidden]
        for layer in self.layer:
            hidden = layer(hidden, mask)
            if keep_all:
                kept.append(hidden)
        return hidden, tuple(kept) if keep_all else None


class LayoutLMv2Pooler(nn.Module):
    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [B, L, H] -> [B, H], from the first token."""
        return torch.tanh(self.dense(hidden[:, 0]))


class LayoutLMv2PreTrainedModel(PreTrainedModel):
    """Weight initialisation, saving and loading."""

    config_class = LayoutLMv2Config
    config: LayoutLMv2Config
    base_model_prefix = "layoutlmv2"
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LayoutLMv2SelfAttention) and module.fast_qkv:
            init.zeros_(module.q_bias)
            init.zeros_(module.v_bias)
        elif isinstance(module, nn.Bilinear):
            bound = 1 / math.sqrt(module.in1_features)
            init.uniform_(module.weight, -bound, bound)


class LayoutLMv2Model(LayoutLMv2PreTrainedModel):
    """Embeddings and encoder."""

    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__(config)
        if config.use_visual_backbone:
            raise ConfigError(
                "use_visual_backbone: true is not supported by this version; "
                "use a checkpoint without visual backbone (VI-LayoutXLM, VI-LayoutLMv2) and use_visual_backbone: false"
            )
        self.embeddings = LayoutLMv2Embeddings(config)
        self.encoder = LayoutLMv2Encoder(config)
        self.pooler = LayoutLMv2Pooler(config) if config.add_pooler else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        assert isinstance(value, nn.Embedding)
        self.embeddings.word_embeddings = value

    def forward(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPooling:
        """Encode windows of text tokens.

        Args:
            input_ids: int64 [B, T], T at most `max_position_embeddings`.
            bbox: int64 [B, T, 4], x0 y0 x1 y1 within 0..max_2d_position_embeddings-1, x1 >= x0, y1 >= y0.
            attention_mask: [B, T], 0 for padding; None when nothing is padded.
            token_type_ids: int64 [B, T]; None for all 0.
            output_hidden_states: also give the embedding output and every layer's output.

        Raises:
            ValueError: more tokens than `max_position_embeddings`.
        """
        length = input_ids.shape[1]
        if self.config.use_1d_positions and length > self.config.max_position_embeddings:
            raise ValueError(
                f"a window of {length} tokens exceeds max_position_embeddings {self.config.max_position_embeddings}"
            )
        positions = torch.arange(length, device=input_ids.device)
        embedded = self.embeddings(input_ids, bbox, positions, token_type_ids)
        hidden, kept = self.encoder(embedded, bbox, positions, attention_mask, output_hidden_states)
        pooled = self.pooler(hidden) if self.pooler is not None else None
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled, hidden_states=kept)

"""LayoutLMv2 / LayoutXLM / VI-LayoutXLM token encoder (Xu et al. 2020, 2021; PP-StructureV2 2022) in plain PyTorch.

Parameter names are Hugging Face's. Where the page's pixels are seen, 49 visual tokens (a grid of 7 x 7 cells) follow
the text tokens. The variant without visual backbone drops those positions, which PaddleNLP keeps masked in the
sequence: as keys they weigh exactly 0, so the text outputs are the same. Boxes are x0 y0 x1 y1 in 0..1000 of the page.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling

from kie_ray.errors import ConfigError
from kie_ray.models.layers import LayoutLMv2Layer, LayoutLMv2Pooler, LayoutLMv2SelfAttention
from kie_ray.models.relative_bias import attention_mask_bias, sequence_bias, spatial_bias
from kie_ray.models.resnext_fpn import BackboneSize, Bottleneck, ConvNorm, FrozenBatchNorm, VisualBackbone


class LayoutLMv2Config(PreTrainedConfig):
    """Fields as Hugging Face's class of the same name, and these.

    `use_visual_backbone`: tokens of the page image join the sequence. `detectron2_config_args`: sizes of the backbone,
    see `BackboneSize`; None for the published ones. `add_pooler`: carry the pooler of published checkpoints, which no
    task here uses. `use_1d_positions`: add the absolute position embedding. `num_entity_labels`:
    rows of the RE head's label embedding. `relation_geometry`: width of the RE head's geometry network, 0 for none.
    `window_marks`: ids of the begin and end token that the task models put around every window, None for none.
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
    detectron2_config_args: dict[str, Any] | None = None
    use_visual_backbone: bool = False
    add_pooler: bool = False
    use_1d_positions: bool = True
    num_entity_labels: int = 3
    relation_geometry: int = 0
    window_marks: list[int] | tuple[int, int] | None = None
    tie_word_embeddings: bool = True

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """A config.json without the fields on backbone and pooler is Hugging Face's, whose models have both."""
        return super().from_dict({"use_visual_backbone": True, "add_pooler": True} | config_dict, **kwargs)


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
            bias = along if bias is None else bias.add_(along)
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


class LayoutLMv2PreTrainedModel(PreTrainedModel):
    """Weight initialisation, saving and loading."""

    config_class = LayoutLMv2Config
    config: LayoutLMv2Config
    base_model_prefix = "layoutlmv2"
    _supports_sdpa = True
    _keys_to_ignore_on_load_unexpected = [  # noqa: RUF012 (read by the base class)
        r"\.num_batches_tracked$",  # counters and constants that older files hold
        r"\bvisual\.pixel_(mean|std)$",
        r"\bembeddings\.position_ids$",
    ]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LayoutLMv2SelfAttention) and module.fast_qkv:
            init.zeros_(module.q_bias)
            init.zeros_(module.v_bias)
        elif isinstance(module, LayoutLMv2Model) and module.visual_segment_embedding is not None:
            init.normal_(module.visual_segment_embedding, std=self.config.initializer_range)
        elif isinstance(module, ConvNorm):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, FrozenBatchNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
            init.zeros_(module.running_mean)
            init.constant_(module.running_var, 1 - module.EPS)
        elif isinstance(module, Bottleneck):  # keeps the sum of many random blocks near unit size
            init.constant_(module.conv3.norm.weight, 0.25)


class LayoutLMv2Model(LayoutLMv2PreTrainedModel):
    """Embeddings, visual branch and encoder."""

    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__(config)
        self.embeddings = LayoutLMv2Embeddings(config)
        self.visual_segment_embedding: nn.Parameter | None = None
        if config.use_visual_backbone:
            self._add_visual_branch(config)
        self.encoder = LayoutLMv2Encoder(config)
        self.pooler = LayoutLMv2Pooler(config) if config.add_pooler else None
        self.post_init()

    def _add_visual_branch(self, config: LayoutLMv2Config) -> None:
        size = BackboneSize.from_detectron2(config.detectron2_config_args)
        rows, columns, *width = config.image_feature_pool_shape
        if width and width[0] != size.fpn_channels:
            raise ConfigError(
                f"image_feature_pool_shape ends in {width[0]}, MODEL.FPN.OUT_CHANNELS is {size.fpn_channels}: "
                "they must be equal"
            )
        if config.use_1d_positions and rows * columns > config.max_position_embeddings:
            raise ConfigError(
                f"max_position_embeddings is {config.max_position_embeddings}, "
                f"the {rows} x {columns} visual tokens need {rows * columns}"
            )
        self.visual = VisualBackbone(size, rows, columns)
        self.visual_proj = nn.Linear(size.fpn_channels, config.hidden_size)
        if config.has_visual_segment_embedding:
            self.visual_segment_embedding = nn.Parameter(torch.zeros(config.hidden_size))
        self.visual_LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.visual_dropout = nn.Dropout(config.hidden_dropout_prob)

    @property
    def uses_image(self) -> bool:
        """Tokens of the page image join the sequence."""
        return self.config.use_visual_backbone

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        assert isinstance(value, nn.Embedding)
        self.embeddings.word_embeddings = value

    def image_features(self, images: Tensor) -> Tensor:
        """Float [P, 3, 224, 224], BGR 0..255 (or as the checkpoint was trained) -> float [P, cells, channels]."""
        return self.visual(images)

    def _embed_image(self, features: Tensor, boxes: Tensor, positions: Tensor) -> Tensor:
        """Float [B, cells, channels], int64 [cells, 4] and [cells] -> the visual tokens, float [B, cells, H]."""
        total = self.visual_proj(features) + self.embeddings.spatial(boxes)
        if self.config.use_1d_positions:
            total = total + self.embeddings.position_embeddings(positions)
        if self.visual_segment_embedding is not None:
            total = total + self.visual_segment_embedding
        return self.visual_dropout(self.visual_LayerNorm(total))

    def forward(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        image_features: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPooling:
        """Encode windows of text tokens, and with `image_features` the visual tokens that then follow them.

        Args:
            input_ids: int64 [B, T], T at most `max_position_embeddings`.
            bbox: int64 [B, T, 4], x0 y0 x1 y1 within 0..max_2d_position_embeddings-1, x1 >= x0, y1 >= y0.
            attention_mask: [B, T], 0 for padding; None when nothing is padded.
            token_type_ids: int64 [B, T]; None for all 0.
            image_features: float [B, cells, channels], `image_features` of the page of each window; None without
                visual backbone.
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
        if image_features is not None:
            boxes = grid_boxes(self.visual.rows, self.visual.columns, bbox.device)
            cells = torch.arange(len(boxes), device=bbox.device)
            embedded = torch.cat([embedded, self._embed_image(image_features, boxes, cells)], dim=1)
            bbox = torch.cat([bbox, boxes.expand(len(bbox), -1, -1)], dim=1)
            positions = torch.cat([positions, cells])
            if attention_mask is not None:
                attention_mask = F.pad(attention_mask, (0, len(cells)), value=1)
        hidden, kept = self.encoder(embedded, bbox, positions, attention_mask, output_hidden_states)
        pooled = self.pooler(hidden) if self.pooler is not None else None
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled, hidden_states=kept)


def grid_boxes(rows: int, columns: int, device: torch.device) -> Tensor:
    """Cells of a grid over the page, row by row: int64 [rows * columns, 4] in 0..1000, edges rounded down."""
    x, y = (torch.arange(0, 1000 * count + 1, 1000, device=device) // count for count in (columns, rows))
    top, left = torch.meshgrid(y[:-1], x[:-1], indexing="ij")
    bottom, right = torch.meshgrid(y[1:], x[1:], indexing="ij")
    return torch.stack([left, top, right, bottom], dim=-1).flatten(0, 1)

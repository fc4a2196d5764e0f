"""The base of the task models (`task_models.py`): an encoder of either family, and the heads that a task needs.

All share one small interface, used by the extractor and by training: `image_features`, `encode`, `ser_logits`,
`re_logits`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, overload

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig

from kie_ray.encoding import batching
from kie_ray.errors import ConfigError
from kie_ray.models.heads import ReHead, SerHead
from kie_ray.models.window_marks import add_marks, check_marks


class KieModel(PreTrainedModel):
    """Base of the task models: the encoder under the name `base_model_prefix`, and `encode`.

    `encoder_class` takes the configuration and gives `uses_image`, `image_features(images)` and
    `forward(input_ids, bbox, attention_mask, token_type_ids, image_features, output_hidden_states)`, whose
    `last_hidden_state` and `hidden_states` begin with the text tokens (tokens of the image may follow).
    """

    has_ser = False
    has_re = False
    encoder_class: ClassVar[type[PreTrainedModel]]

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.window_marks = check_marks(getattr(config, "window_marks", None))
        setattr(self, self.base_model_prefix, self.encoder_class(config))
        self._add_heads(config)
        self.post_init()
        self.freeze_untrained()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As the base class, which would leave every parameter trainable."""
        loaded = super().from_pretrained(*args, **kwargs)
        (loaded[0] if isinstance(loaded, tuple) else loaded).freeze_untrained()
        return loaded

    def freeze_untrained(self) -> None:
        """No gradient for the pooler and for the `frozen_parts()` that modules of the encoder name.

        No loss of these tasks reaches the pooler, and DDP waits for gradients that never come.
        """
        pooler = getattr(self._encoder, "pooler", None)
        parts = [] if pooler is None else [pooler]
        for module in self._encoder.modules():
            parts.extend(getattr(module, "frozen_parts", tuple)())
        for part in parts:
            part.requires_grad_(False)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Bilinear):
            bound = 1 / math.sqrt(module.in1_features)
            init.uniform_(module.weight, -bound, bound)

    def _add_heads(self, config: Any) -> None:
        dropout = float(config.hidden_dropout_prob)
        if self.has_ser:
            self.classifier = SerHead(config.hidden_size, int(config.num_labels or 0), dropout)
        if self.has_re:
            self.extractor = ReHead(config.hidden_size, config.num_entity_labels, dropout, config.relation_geometry)

    @property
    def _encoder(self) -> Any:
        return self.base_model

    @property
    def uses_image(self) -> bool:
        """The model sees the page's pixels: `encode` then needs `image_features`."""
        return bool(self._encoder.uses_image)

    @property
    def tokens_at_once(self) -> int:
        """Padded tokens that should go through `encode` together at inference."""
        return batching.tokens_at_once(self.device.type)

    def set_window_marks(self, marks: tuple[int, int] | None) -> None:
        """Put these two tokens around every window from now on (kept in the configuration), or none."""
        self.window_marks = self.config.window_marks = check_marks(marks)

    def get_input_embeddings(self) -> nn.Module:
        return self._encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self._encoder.set_input_embeddings(value)

    def image_features(self, images: Tensor) -> Tensor:
        """What the model sees of each page, to be computed once a page however many windows it has.

        Args:
            images: float [P, 3, 224, 224], pixels as the bundle's `image` kind says.

        Returns:
            Float [P, ...]; its rows, one a window, are what `encode` takes.

        Raises:
            ConfigError: the model sees no pixels.
        """
        if not self.uses_image:
            raise ConfigError(f"{type(self).__name__} has no image branch: it takes no image")
        return self._encoder.image_features(images)

    @overload
    def encode(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None = None,
        image_features: Tensor | None = None,
    ) -> Tensor: ...

    @overload
    def encode(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None = None,
        image_features: Tensor | None = None,
        *,
        layers: Sequence[int],
    ) -> tuple[Tensor, tuple[Tensor, ...]]: ...

    def encode(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None = None,
        image_features: Tensor | None = None,
        *,
        layers: Sequence[int] | None = None,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
        """int64 [B, T], [B, T, 4], [B, T], [B, T] -> hidden states of the text tokens, float [B, T, H].

        Args:
            image_features: one row a window, of the page that the window belongs to: `features[page_of_window]`.
            layers: 0-based; also give the outputs of those encoder layers, each float [B, T, H], in the order asked.

        Raises:
            ConfigError: a layer that the encoder does not have; image features where the model sees no pixels, or
                none where it does.
        """
        if self.uses_image != (image_features is not None):
            name = type(self).__name__
            raise ConfigError(
                f"{name} sees the page's pixels: pass image_features, one row a window"
                if self.uses_image
                else f"{name} has no image branch: it takes no image_features"
            )
        first, length = 0, input_ids.shape[1]
        if self.window_marks is not None:
            first = 1
            input_ids, bbox, attention_mask, token_type_ids = add_marks(
                self.window_marks, input_ids, bbox, attention_mask, token_type_ids
            )
        inputs = (input_ids, bbox, attention_mask, token_type_ids, image_features)
        text = slice(first, first + length)
        if layers is None:
            return self._encoder(*inputs).last_hidden_state[:, text]
        count = self.config.num_hidden_layers
        for layer in layers:
            if not 0 <= layer < count:
                raise ConfigError(f"no encoder layer {layer}; num_hidden_layers {count} gives layers 0 to {count - 1}")
        output = self._encoder(*inputs, output_hidden_states=True)
        # hidden_states[0] is what enters the first layer
        kept = tuple(output.hidden_states[layer + 1][:, text] for layer in layers)
        return output.last_hidden_state[:, text], kept

    def ser_logits(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> [..., num_labels]. Raises TypeError on a model without SER head."""
        if not self.has_ser:
            raise TypeError(f"{type(self).__name__} has no SER head")
        return self.classifier(hidden)

    def re_logits(
        self, states: Tensor, labels: Tensor, pairs: Tensor, boxes: Tensor | None = None, order: Tensor | None = None
    ) -> Tensor:
        """Scores of entity pairs, float [P, 2]: see `ReHead.forward`. Raises TypeError on a model without RE head."""
        if not self.has_re:
            raise TypeError(f"{type(self).__name__} has no RE head")
        return self.extractor(states, labels, pairs, boxes, order)

    def encode_pages(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        image: Tensor | None,
    ) -> Tensor:
        """`encode` for a batch whose rows are whole pages: float [B, T, H]."""
        features = None if image is None else self.image_features(image)
        return self.encode(input_ids, bbox, attention_mask, token_type_ids, features)

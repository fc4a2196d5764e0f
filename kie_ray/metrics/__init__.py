"""Scores of SER, RE and fields. Protocols `lines` and `fields` (what a user gets) and `paddle` (published figures)."""

from kie_ray.metrics.fields import field_scores, normal_text
from kie_ray.metrics.lines import re_scores, relations, ser_scores
from kie_ray.metrics.matching import aligned_to_gold, covered_lines, line_coverage, match_lines
from kie_ray.metrics.paddle import span_relation_scores, tag_scores, token_scores
from kie_ray.metrics.score import ClassScores, Score

__all__ = [
    "ClassScores",
    "Score",
    "aligned_to_gold",
    "covered_lines",
    "field_scores",
    "line_coverage",
    "match_lines",
    "normal_text",
    "re_scores",
    "relations",
    "ser_scores",
    "span_relation_scores",
    "tag_scores",
    "token_scores",
]

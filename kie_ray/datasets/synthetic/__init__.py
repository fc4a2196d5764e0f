"""Synthetic forms: a generator of annotated pages and a renderer. Own vocabulary, no annotated data set is copied."""

from kie_ray.datasets.synthetic.generator import LANGUAGES, SyntheticPage, generate_page, generate_pages

__all__ = ["LANGUAGES", "SyntheticPage", "generate_page", "generate_pages"]

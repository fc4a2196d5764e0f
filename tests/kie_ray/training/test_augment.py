"""Changed pages keep labels and links true, and the page they come from stays as it was."""

from __future__ import annotations

import random
from copy import deepcopy

from kie_ray.datasets.synthetic import generate_page
from kie_ray.training.augment import ValuePool, augment_page
from kie_ray.training.config import AugmentConfig


def test_labels_and_links_survive() -> None:
    page = generate_page(random.Random(3), language="en").page
    before = deepcopy(page)
    pool = ValuePool([generate_page(random.Random(i), language="en").page for i in range(4, 8)])
    swapped = 0
    for seed in range(20):
        changed = augment_page(page, AugmentConfig(), pool, random.Random(seed))
        original = {line.id: line for line in page.lines}
        assert all(line.label == original[line.id].label for line in changed.lines)
        ids = {line.id for line in changed.lines}
        assert {(k.key_line, k.value_line) for k in changed.links} == {
            (k.key_line, k.value_line) for k in page.links if k.key_line in ids and k.value_line in ids
        }
        swapped += sum(
            line.text != original[line.id].text for line in changed.lines if not any(c.isdigit() for c in line.text)
        )
    assert page == before
    assert swapped > 0


def test_the_same_seed_gives_the_same_page() -> None:
    page = generate_page(random.Random(3), language="zh").page
    pool = ValuePool([page])
    first, second = (augment_page(page, AugmentConfig(), pool, random.Random(5)) for _ in range(2))
    assert first == second

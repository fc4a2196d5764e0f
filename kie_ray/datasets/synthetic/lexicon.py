"""What a form says: one object a page that draws titles, fields, values, choices and notes of a domain."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass

from kie_ray.datasets.synthetic import prose, words_en, words_zh
from kie_ray.datasets.synthetic.values_en import ValuesEn
from kie_ray.datasets.synthetic.values_zh import ValuesZh

Field = tuple[str, str]
_FULL_WIDTH = str.maketrans({":": "：", "(": "（", ")": "）", ",": "，", ";": "；"})
_LONG_KINDS = frozenset(
    (
        "address",
        "phrase",
        "company",
        "people",
        "subject",
        "topic",
        "project",
        "scope",
        "case",
        "email",
        "idcard",
        "account",
        "taxid",
    )
)


@dataclass
class Lexicon:
    """Vocabulary of one page. `language` is zh, en or mixed (Chinese form with English beside the field names)."""

    rng: random.Random
    language: str
    scripted: bool = dataclasses.field(default=False, init=False)
    """True where a script supplies the content: blocks then leave nothing out."""

    def __post_init__(self) -> None:
        self.zh = ValuesZh(self.rng)
        self.en = ValuesEn(self.rng)
        self.is_zh = self.language != "en"
        domains = words_zh.DOMAINS if self.is_zh else words_en.DOMAINS
        self.domain = self.rng.choice(list(domains))
        self._pool = list(domains[self.domain])
        for other in self.rng.sample(list(domains), 2):
            self._pool += self.rng.sample(domains[other], 5)
        if self.is_zh:
            self.rng.shuffle(self._pool)
        else:
            head = self._pool[:6]
            self.rng.shuffle(self._pool)
            if self.domain == "memo":
                self._pool = self._pool + head[::-1]
        self.full_width = self.is_zh and self.rng.random() < 0.25
        self._english = [name for name, _ in self._all_english()] if self.language == "mixed" else []

    @staticmethod
    def _all_english() -> list[Field]:
        return [item for items in words_en.DOMAINS.values() for item in items]

    def punctuate(self, text: str) -> str:
        return text.translate(_FULL_WIDTH) if self.full_width else text

    def field(self) -> Field:
        """A field name and the kind of its value; a name returns only when the domain is used up."""
        rng = self.rng
        if rng.random() < 0.2 or not self._pool:
            if self.is_zh:
                heads, tails = (
                    (words_zh.PERSONS, words_zh.PERSON_FIELDS)
                    if rng.random() < 0.7
                    else (words_zh.ORGANISATIONS, words_zh.ORGANISATION_FIELDS)
                )
                name, kind = rng.choice(tails)
                name = rng.choice(heads) + name
            else:
                name, kind = rng.choice(words_en.PERSON_FIELDS)
                name = f"{rng.choice(words_en.PERSONS)} {name}"
        else:
            name, kind = self._pool.pop()
        if self.is_zh and rng.random() < 0.06 and self._pool and len(name) < 6:
            name += rng.choice("及和/、") + self._pool[rng.randrange(len(self._pool))][0]
        if self.is_zh and rng.random() < 0.02:
            name, kind = rng.choice(words_zh.QUESTIONS), "yesno"
        if self.is_zh and rng.random() < 0.08:
            name += rng.choice(
                (
                    "(元)",
                    "(必填)",
                    "(盖章)",
                    "(选填)",
                    "(全称)",
                    "(单位:万元)",
                    "(与证件一致)",
                    "(如有)",
                    "(请附相关证明材料)",
                    "(从高中填起)",
                    "(请务必填写准确)",
                    "/" + rng.choice(("编号", "单位", "类型")),
                )
            )
        if self._english and rng.random() < 0.8:
            name += rng.choice(("", " ")) + rng.choice(self._english)
        return self.punctuate(name), kind

    def is_long(self, kind: str) -> bool:
        return kind in _LONG_KINDS

    def value(self, kind: str) -> str:
        text = self.zh.value(kind) if self.is_zh else self.en.value(kind)
        return self.punctuate(text)

    def title(self) -> list[str]:
        rng = self.rng
        if self.is_zh:
            kind = (
                rng.choice(words_zh.TITLE_HEADS) + rng.choice(words_zh.TITLE_MIDDLES) + rng.choice(words_zh.TITLE_TAILS)
            )
            if rng.random() < 0.2:
                kind = f"{self.zh.year}年{'度' if rng.random() < 0.4 else ''}" + kind
            owner = rng.choice((self.zh.company, self.zh.school, self.zh.city))()
            rows = [owner, kind] if rng.random() < 0.4 else [owner + kind if rng.random() < 0.3 else kind]
            if self.language == "mixed":
                rows.append(f"{rng.choice(words_en.TITLES_A)} {rng.choice(words_en.TITLES_B)}")
            return [self.punctuate(row) for row in rows]
        whole = (
            rng.choice(words_en.TITLES_WHOLE)
            if rng.random() < 0.3
            else f"{rng.choice(words_en.TITLES_A)} {rng.choice(words_en.TITLES_B)}"
        )
        if rng.random() < 0.15:
            whole = f"{rng.choice(words_en.TITLES_A)} & {whole}"
        if rng.random() < 0.65:
            whole = whole.upper()
        return [self.en.company().upper(), whole] if rng.random() < 0.35 else [whole]

    def section(self) -> str:
        if self.is_zh:
            text = self.rng.choice(words_zh.SECTIONS)
            if self.rng.random() < 0.25:
                text = self.rng.choice("一二三四五六七") + "、" + text
            return text
        text = self.rng.choice(words_en.SECTIONS)
        return text if self.rng.random() < 0.6 else text.title() if self.rng.random() < 0.6 else text + ":"

    def long_name(self) -> str:
        return self.punctuate(self.rng.choice(words_zh.LONG_TEXTS if self.is_zh else words_en.LONG_TEXTS))

    def long_text(self, characters: int) -> str:
        return (
            self.punctuate(prose.zh_text(self.rng, characters)) if self.is_zh else prose.en_text(self.rng, characters)
        )

    def note(self) -> str:
        return self.punctuate(prose.zh_note(self.rng)) if self.is_zh else prose.en_note(self.rng)

    def table(self) -> tuple[str, list[Field], int | None]:
        """Name, columns and number of body rows (None: the block decides)."""
        name, columns = self.rng.choice(words_zh.TABLES if self.is_zh else words_en.TABLES)
        count = min(len(columns), self.rng.randint(3, 6))
        picked = sorted(self.rng.sample(range(len(columns)), count))
        chosen = [columns[i] for i in picked]
        if self.rng.random() < 0.3:
            chosen[self.rng.randrange(len(chosen))] = self.field()
        return name, chosen, None

    def choice(self) -> tuple[str, list[str], int]:
        """Key, options and the index of the ticked one (-1: none)."""
        rng = self.rng
        if self.is_zh:
            name, options = rng.choice(words_zh.CHOICES)
            if rng.random() < 0.25:
                name = f"{rng.randint(1, 12)}、" + rng.choice(words_zh.QUESTIONS) + "?"
            found = options.split()
        else:
            name, options = rng.choice(words_en.CHOICES)
            if rng.random() < 0.3:
                name, options = rng.choice(words_en.QUESTIONS), "Yes;No"
            found = options.split(";")
        return self.punctuate(name), found, rng.randrange(len(found)) if rng.random() < 0.9 else -1

    def signature(self) -> str:
        return self.rng.choice(words_zh.SIGNATURES if self.is_zh else words_en.SIGNATURES)

    def opinion(self) -> str:
        return self.rng.choice(words_zh.OPINIONS)

    def verdict(self) -> str:
        return self.punctuate(self.rng.choice(words_zh.VERDICTS) + self.rng.choice(("", "。", "")))

    def signed_date(self) -> str:
        """The date under a Chinese signature; sometimes only its blanks."""
        rng = self.rng
        return f"{self.zh.year}年{rng.randint(1, 12)}月{rng.randint(1, 28)}日" if rng.random() < 0.83 else "年月日"

    def company(self) -> str:
        return self.zh.company() if self.is_zh else self.en.company()

    def person(self) -> str:
        return self.zh.name() if self.is_zh else self.en.person()

    def date(self) -> str:
        return self.zh.date() if self.is_zh else self.en.date()

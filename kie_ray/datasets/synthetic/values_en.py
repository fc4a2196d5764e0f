"""Values of English fields by kind: `ValuesEn(rng).value("date")`."""

from __future__ import annotations

import random
from collections.abc import Callable

from kie_ray.datasets.synthetic import prose, words_en
from kie_ray.datasets.synthetic.lists import words_of

_WORDS = {kind: text.split("|") for kind, text in words_en.LISTS.items()}
_MONTHS = words_of("January February March April May June July August September October November December")
_STREETS = words_of(
    "Main Oak Park Maple Broad Church Elm Walnut Lake Hill Market Cherry Washington Center Franklin River Highland "
    "Spring Mill Chestnut Madison Jefferson Industrial"
)
_FIRMS = words_of(
    "Allied Atlantic Pioneer Summit Central Eagle Crown United Liberty Keystone Midland Sterling Harbor Pacific "
    "Piedmont Cardinal Standard Consolidated Lakeside Northern Superior Dominion Tri-State Metro"
)
_TRADES = words_of(
    "Chemical Packaging Research Printing Foods Paper Laboratories Industries Supply Marketing Freight Insurance "
    "Products Associates Advertising Manufacturing Systems Engineering Services Trading Tobacco Medical"
)
_SYLLABLES = words_of("bra ton mer lin dor vas kel nor pax tri sol ven cor lum fer gan rid mon tel ark win zen bel cas")


class ValuesEn:
    """Draws values from one `random.Random`; `value(kind)` raises KeyError naming an unknown kind."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.year = rng.randint(1968, 2004) if rng.random() < 0.75 else rng.randint(2005, 2023)
        self.date_style = rng.randrange(8)
        self._makers: dict[str, Callable[[], str]] = {
            "person": self.person,
            "people": self.people,
            "doctor": lambda: rng.choice(["Dr. ", ""]) + self.person() + rng.choice([", M.D.", "", ", Ph.D."]),
            "surname": lambda: rng.choice(words_en.SURNAMES),
            "given": lambda: rng.choice(words_en.GIVEN),
            "date": self.date,
            "monthyear": self.monthyear,
            "period": self.period,
            "time": lambda: f"{rng.randint(1, 12)}:{rng.randint(0, 59):02d} {rng.choice(['AM', 'PM', 'a.m.', 'p.m.'])}",
            "year": lambda: str(self.year),
            "company": self.company,
            "bank": self.bank,
            "place": lambda: f"{rng.choice(words_en.CITIES)}, {rng.choice(words_en.STATES)}",
            "city": lambda: rng.choice(words_en.CITIES),
            "state": lambda: rng.choice(words_en.STATES),
            "address": self.address,
            "zip": lambda: self.digits(5),
            "phone": self.phone,
            "ext": lambda: self.digits(4),
            "email": lambda: (
                f"{rng.choice(words_en.GIVEN).lower()}.{rng.choice(words_en.SURNAMES).lower()}@{self.word()}.com"
            ),
            "code": self.code,
            "number": lambda: self.digits(rng.randint(3, 10)),
            "small": lambda: str(rng.randint(1, 40)),
            "serial": lambda: str(rng.randint(1, 20)),
            "quantity": lambda: rng.choice(
                [
                    str(rng.randint(1, 300)),
                    f"{rng.randint(1, 90)},000",
                    f"{rng.randint(1, 40)} cartons",
                    f"{rng.randint(2, 60)} ea.",
                ]
            ),
            "money": self.money,
            "percent": lambda: rng.choice([f"{rng.randint(1, 100)}%", f"{rng.uniform(0, 30):.1f}%"]),
            "decimal": lambda: f"{rng.uniform(0, 60):.{rng.randint(1, 3)}f}",
            "weight": lambda: f"{rng.randint(1, 900)}{rng.choice([' lbs.', ' lbs', ' g', ' mg', ' kg'])}",
            "length": lambda: f"{rng.uniform(10, 120):.1f} mm",
            "measure": lambda: f"{rng.uniform(1, 9):.1f} in. H2O",
            "volume": lambda: f"{rng.uniform(1, 60):.1f} cu ft",
            "area": lambda: f"{rng.randint(4, 90) * 100:,} sq. ft.",
            "temperature": lambda: rng.choice(
                [f"{rng.uniform(97, 101):.1f} F", f"{rng.randint(18, 30)} C", f"{rng.randint(60, 80)} F"]
            ),
            "pressure": lambda: f"{rng.randint(100, 150)}/{rng.randint(60, 95)}",
            "pulse": lambda: str(rng.randint(58, 96)),
            "height": lambda: f"{rng.randint(5, 6)} ft {rng.randint(0, 11)} in",
            "age": lambda: str(rng.randint(18, 80)),
            "days": lambda: f"{rng.randint(2, 90)} {rng.choice(['days', 'weeks', 'hours'])}",
            "years": lambda: f"{rng.randint(1, 30)} years",
            "dose": lambda: (
                f"{rng.choice([5, 10, 25, 50, 100, 250])} {rng.choice(['mg', 'mg/kg', 'ppm', 'ml', 'ug/ml'])}"
            ),
            "ssn": lambda: f"{self.digits(3)}-{self.digits(2)}-{self.digits(4)}",
            "cas": lambda: f"{self.digits(rng.randint(2, 5))}-{self.digits(2)}-{self.digits(1)}",
            "subject": self.subject,
            "phrase": lambda: prose.en_phrase(rng) if rng.random() < 0.6 else prose.en_text(rng, rng.randint(20, 120)),
            "phrase4": lambda: rng.choice(
                ["Relocated", "Better position", "Laid off", "Returned to school", "Contract ended"]
            ),
            "school": lambda: (
                rng.choice(words_en.CITIES)
                + rng.choice([" University", " State College", " High School", " Medical College"])
            ),
            "hospital": lambda: (
                rng.choice(words_en.CITIES) + rng.choice([" General Hospital", " Memorial Hospital", " Clinic"])
            ),
            "hotel": lambda: rng.choice(["Grand", "Plaza", "Harbor", "Park"]) + rng.choice([" Hotel", " Inn"]),
            "brand": lambda: self.word().upper() + rng.choice(["", " Lights", " 100's", " Plus", " KS"]),
            "event": self.event,
            "journal": lambda: (
                f"{rng.choice(_FIRMS)} {rng.choice(['News', 'Weekly', 'Journal', 'Times', 'Magazine', 'Review'])}"
            ),
            "ship": lambda: "S.S. " + rng.choice(_FIRMS),
            "plate": lambda: f"{self.capitals(3)} {self.digits(3)}",
            "vin": lambda: "1" + "".join(rng.choices("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", k=16)),
            "case": lambda: f"{rng.choice(words_en.SURNAMES)} v. {self.company()}",
            "court": lambda: f"{rng.choice(['Circuit', 'District', 'Superior'])} Court, {rng.choice(words_en.CITIES)}",
            "bates": lambda: f"{self.digits(8)}-{self.digits(4)}",
        }

    def value(self, kind: str) -> str:
        words = _WORDS.get(kind)
        if words is not None:
            return self.rng.choice(words)
        return self._makers[kind]()

    def digits(self, count: int) -> str:
        return "".join(self.rng.choices("0123456789", k=count))

    def capitals(self, count: int) -> str:
        return "".join(self.rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=count))

    def word(self) -> str:
        return "".join(self.rng.choices(_SYLLABLES, k=self.rng.randint(2, 3)))

    def person(self) -> str:
        rng = self.rng
        given, last = rng.choice(words_en.GIVEN), rng.choice(words_en.SURNAMES)
        return rng.choice(
            (
                f"{given} {last}",
                f"{given[0]}. {rng.choice('ABCDEFGHJLMRSTW')}. {last}",
                f"{given[0]}. {last}",
                f"Mr. {last}",
                f"{given} {rng.choice('ABCDEFGHJLMRSTW')}. {last}",
                last,
            )
        )

    def people(self) -> str:
        return ", ".join(self.person() for _ in range(self.rng.choice((1, 1, 1, 2, 3))))

    def date(self) -> str:
        year, month, day = (
            self.year + self.rng.choice((0, 0, 0, 1, -1)),
            self.rng.randint(1, 12),
            self.rng.randint(1, 28),
        )
        style = self.date_style if self.rng.random() < 0.7 else self.rng.randrange(8)
        name = _MONTHS[month - 1]
        return (
            f"{name} {day}, {year}",
            f"{month}/{day}/{year % 100:02d}",
            f"{month}-{day}-{year % 100:02d}",
            f"{month:02d}/{day:02d}/{year}",
            f"{day} {name[:3]} {year}",
            f"{name[:3]}. {day}, {year}",
            f"{name[:3].upper()} {day:02d} {year}",
            f"{month}/{day}",
        )[style]

    def company(self) -> str:
        rng = self.rng
        head = rng.choice(
            (
                rng.choice(_FIRMS),
                rng.choice(words_en.SURNAMES),
                f"{rng.choice(words_en.SURNAMES)} & {rng.choice(words_en.SURNAMES)}",
                self.word().capitalize(),
            )
        )
        return f"{head} {rng.choice(_TRADES)}{rng.choice(['', ' Co.', ', Inc.', ' Corp.', ' Company', ' Ltd.'])}"

    def monthyear(self) -> str:
        rng = self.rng
        return rng.choice((f"{rng.randint(1, 12)}/{self.year % 100:02d}", f"{rng.choice(_MONTHS)[:3]} {self.year}"))

    def period(self) -> str:
        rng = self.rng
        end = f"{rng.randint(7, 12)}/{rng.randint(1, 28)}/{self.year % 100:02d}"
        return f"{rng.randint(1, 6)}/{rng.randint(1, 28)} - {end}"

    def bank(self) -> str:
        head = self.rng.choice(("First", "Second", "Farmers", "Merchants"))
        return f"{head} {self.rng.choice(('National', 'Savings', 'Trust'))} Bank"

    def event(self) -> str:
        head = self.rng.choice(("Annual", "Regional", "National", "Spring", "Fall"))
        tail = ("Sales Meeting", "Conference", "Promotion", "Trade Show", "Golf Open", "Seminar")
        return f"{head} {self.rng.choice(tail)}"

    def address(self) -> str:
        rng = self.rng
        kind = rng.choice(("Street", "St.", "Avenue", "Ave.", "Road", "Blvd.", "Drive"))
        text = f"{rng.randint(1, 9999)} {rng.choice(_STREETS)} {kind}"
        return text + (
            f", {rng.choice(words_en.CITIES)}, {rng.choice(words_en.STATES)} {self.digits(5)}"
            if rng.random() < 0.6
            else ""
        )

    def phone(self) -> str:
        area, a, b = self.rng.randint(201, 989), self.digits(3), self.digits(4)
        return self.rng.choice((f"({area}) {a}-{b}", f"{area}-{a}-{b}", f"{area}/{a}-{b}", f"{a}-{b}"))

    def code(self) -> str:
        rng = self.rng
        return rng.choice(
            (
                f"{self.digits(4)}",
                f"{self.capitals(1)}-{self.digits(rng.randint(2, 4))}",
                f"{self.capitals(2)}{self.digits(5)}",
                f"{rng.randint(60, 99)}-{self.digits(3)}",
                f"#{self.digits(3)}",
                f"{self.digits(2)}-{self.digits(2)}-{self.digits(2)}",
            )
        )

    def money(self) -> str:
        amount = self.rng.choice(
            (self.rng.randint(1, 999), self.rng.randint(1, 999) * 100, self.rng.randint(1, 90) * 10000)
        )
        return self.rng.choice(
            (
                f"${amount:,}",
                f"$ {amount:,}.00",
                f"{amount:,}",
                f"${amount:,}.{self.digits(2)}",
                f"{amount:,}.{self.digits(2)}",
                f"$ {amount}M",
            )
        )

    def subject(self) -> str:
        rng = self.rng
        text = rng.choice(
            (
                f"{self.value('product')} {rng.choice(['Test', 'Order', 'Promotion', 'Study', 'Review'])}",
                prose.en_phrase(rng),
                f"{rng.choice(words_en.TITLES_A)} {rng.choice(words_en.TITLES_B)}",
                f"{self.value('event')} {self.year}",
            )
        )
        return text.upper() if rng.random() < 0.3 else text

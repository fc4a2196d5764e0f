import pytest

from kie_ray.metrics import Score, field_scores, normal_text
from kie_ray.records import Field

BOX = (0.0, 0.0, 1.0, 1.0)


def fields(*pairs: tuple[str, str]) -> list[Field]:
    return [Field(key, value, 1.0, [0], [1], BOX, BOX) for key, value in pairs]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Date \t of\n birth ", "Date of birth"),
        ("ＡＢＣ１２３", "ABC123"),
        ("姓名：", "姓名:"),
        ("姓 名 ： 张 三", "姓名:张三"),
        ("电话 010", "电话010"),
        ("ミナト 区", "ミナト区"),
        ("서울 종로", "서울 종로"),
        ("a b", "a b"),
        ("", ""),
    ],
)
def test_normal_text(text: str, normal: str) -> None:
    assert normal_text(text) == normal
    assert normal_text(normal) == normal


def test_key_and_value_must_both_be_right() -> None:
    gold = [fields(("Name", "Ann"), ("City", "Rome"), ("Zip", "1"))]
    predicted = [fields(("Name", "Ann"), ("City", "Paris"))]
    assert field_scores(gold, predicted) == Score(correct=1, predicted=2, support=3)


def test_exact_or_normalised() -> None:
    gold, predicted = [fields(("姓名：", "张 三"))], [fields(("姓名:", "张三"))]
    assert field_scores(gold, predicted).hmean == 1
    assert field_scores(gold, predicted, exact=True).hmean == 0


def test_equal_fields_are_counted_one_by_one() -> None:
    gold, predicted = [fields(("Tick", "x"), ("Tick", "x"))], [fields(*[("Tick", "x")] * 3)]
    assert field_scores(gold, predicted) == Score(correct=2, predicted=3, support=2)


def test_pages_are_separate() -> None:
    assert field_scores([fields(("a", "b")), []], [[], fields(("a", "b"))]) == Score(0, 1, 1)
    with pytest.raises(ValueError, match="1 gold pages but 0"):
        field_scores([[]], [])

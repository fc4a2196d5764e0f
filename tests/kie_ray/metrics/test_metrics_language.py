import pytest

from kie_ray.metrics import Score
from kie_ray.metrics.language import UNKNOWN, by_language, page_language, script_language
from kie_ray.records import Line, Page

POINTS = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)


def page(text: str, source: str = "") -> Page:
    return Page(0, 10, 10, [Line(0, text, POINTS)], source=source)


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["姓名：", "张三", "ID 4411"], "zh"),
        (["姓名", "E-mail", "wang@example.com"], "latin"),
        (["公司名称及地址", "ABC Trading Ltd"], "zh"),  # seven signs say more than thirteen letters
        (["お名前", "山田太郎", "東京都"], "ja"),
        (["ｶﾅ", "氏名"], "ja"),
        (["데이터", "AB"], "ko"),
        (["Name", "Größe"], "latin"),
        (["Имя", "Иванов"], "cyrillic"),
        (["Όνομα"], "greek"),
        (["الاسم"], "arabic"),
        (["ＮＡＭＥ"], "latin"),
        (["12.03.2020", "—", ""], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_the_dominating_script(texts: list[str], language: str) -> None:
    assert script_language(texts) == language


def test_xfund_names_its_languages() -> None:
    assert page_language(page("Nom", "fr_val_3.jpg")) == "fr"
    assert page_language(page("Nom", "folder/de_train_12.jpg")) == "de"
    assert page_language(page("Nom", "deval_3.jpg")) == "latin"
    assert page_language(page("姓名", "frame_val_1.jpg")) == "zh"


def test_rows_by_language_only_where_there_is_more_than_one() -> None:
    pages = [page("姓名"), page("Name"), page("姓名")]
    rows = by_language(pages, lambda indices: Score(len(indices), 4, 4))["languages"]
    assert list(rows) == ["latin", "zh"]
    assert (rows["zh"]["pages"], rows["zh"]["precision"]) == (2, 0.5)
    assert by_language(pages[::2], lambda indices: Score()) == {}

"""Values of Chinese fields by kind: `ValuesZh(rng).value("date")`."""

from __future__ import annotations

import random
from collections.abc import Callable

from kie_ray.datasets.synthetic import prose, words_zh
from kie_ray.datasets.synthetic.lists import words_of

_WORDS = {kind: text.split() for kind, text in words_zh.LISTS.items()}
_GOODS = words_of(
    "打印机 笔记本电脑 办公桌 复印纸 水泥 钢筋 电缆 轴承 配电箱 空调 大米 食用油 茶叶 衬衫 运动鞋 轮胎 机油 灯具 "
    "玻璃 螺栓 硒鼓 投影仪 服务器 试剂 口罩 手套 阀门 水泵 油漆 木地板 瓷砖 饮料 奶粉 牛肉 苹果 化肥 种子 电机 "
    "传感器 书籍 文件柜 键盘 沙发 纸箱 管件 塑料粒子 棉布 药品 钢板 文具"
)
_COMPANY_KINDS = words_of(
    "科技 贸易 建材 电子 物流 医药 食品 服装 机械 置业 广告 教育咨询 信息技术 实业 化工 汽车销售 农业发展 装饰工程 "
    "环保 能源 文化传播 商贸 人力资源"
)
_BANKS = words_of("工商银行 建设银行 农业银行 中国银行 交通银行 招商银行 邮政储蓄银行 农村商业银行 民生银行 光大银行")
_DIGITS = "零壹贰叁肆伍陆柒捌玖"


class ValuesZh:
    """Draws values from one `random.Random`; `value(kind)` raises KeyError naming an unknown kind."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.year = rng.randint(1996, 2024)
        self.date_style = rng.randrange(7)
        self._makers: dict[str, Callable[[], str]] = {
            "name": self.name,
            "date": self.date,
            "month": self.month,
            "birthday": self.month,
            "city": self.city,
            "school": self.school,
            "company": self.company,
            "address": self.address,
            "idcard": self.idcard,
            "email": self.email,
            "bank": self.bank,
            "money": self.money,
            "phrase": lambda: prose.zh_text(rng, rng.randint(3, 40)),
            "phrase4": lambda: prose.zh_text(rng, 4)[:9].rstrip(",。;"),
            "topic": lambda: (
                rng.choice(["基于", "关于", "面向"])
                + self.word()
                + rng.choice(["技术", "理论", "模式"])
                + rng.choice(["的研究", "的应用", "的探索", "分析"])
            ),
            "item": self.item,
            "classroom": lambda: f"{rng.choice(['', '计算机', '会计', '护理'])}{rng.randint(1, 12)}班",
            "street": lambda: self.word(2, 2) + "街道",
            "community": lambda: self.word(2, 2) + "社区",
            "hotel": lambda: self.word(2, 2) + rng.choice(["大酒店", "宾馆", "商务酒店"]),
            "hospital": lambda: self.city() + rng.choice(["人民医院", "中心医院", "中医院", "第二医院"]),
            "event": lambda: self.word(2, 3) + rng.choice(["年会", "研讨会", "论坛", "培训会", "交流会"]),
            "project": lambda: (
                self.word(2, 4) + rng.choice(["改造工程", "建设项目", "开发项目", "研究项目", "住宅小区"])
            ),
            "subject2": self.course,
            "journal": lambda: self.word(2, 2) + rng.choice(["学报", "杂志", "科学", "技术"]),
            "brandname": lambda: self.word(2, 3),
            "brand": lambda: self.word(2, 2) + rng.choice(["牌", ""]) + self.digits(3),
            "pinyin": lambda: "".join(
                rng.choice("BCDFGHJKLMNWXYZ")
                + rng.choice(["AO", "IN", "ANG", "EI", "UI", "AN"])
                + rng.choice([" ", ""])
                for _ in range(2)
            ).strip(),
            "period": lambda: f"{self.month()}-{self.month()}",
            "datetime": lambda: f"{self.date()} {rng.randint(7, 20)}:{rng.randint(0, 59):02d}",
            "salary": lambda: rng.choice([str(rng.randint(3, 30) * 500), "面议", f"{rng.randint(3, 12)}K"]),
            "capital": self.capital,
            "ship": lambda: self.word(1, 2) + f"号/{self.digits(3)}E",
            "note": lambda: rng.choice(["", "", "无", "已付", "待定", self.word()]),
            "standard": lambda: f"GB/T {self.digits(rng.randint(4, 5))}-{self.year}",
            "plate": lambda: (
                rng.choice("京津冀晋辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼川贵云陕甘青宁新")
                + rng.choice("ABCDEFGHJ")
                + self.code_text(5)
            ),
            "wechat": lambda: "wx" + self.digits(6),
            "web": lambda: f"www.{self.letters(rng.randint(4, 9))}.com",
            "serial": lambda: str(rng.randint(1, 9)),
            "tel": lambda: f"0{rng.randint(10, 999)}-{self.digits(rng.choice((7, 8)))}",
            "phone": lambda: rng.choice(["13", "15", "18", "17"]) + self.digits(9),
            "postcode": lambda: self.digits(6),
            "qq": lambda: self.digits(9),
            "number": lambda: self.digits(rng.randint(5, 14)),
            "number2": lambda: self.digits(2),
            "account": lambda: "62" + self.digits(rng.choice((14, 17))),
            "taxid": lambda: "91" + self.digits(13) + self.code_text(3),
            "passport": lambda: rng.choice("EGP") + self.digits(8),
            "code": lambda: (
                rng.choice(["", "", self.letters(2).upper(), self.letters(1).upper() + "-"])
                + self.digits(rng.randint(4, 9))
            ),
            "model": lambda: self.letters(rng.randint(1, 3)).upper() + "-" + self.digits(rng.randint(2, 4)),
            "vin": lambda: "L" + self.code_text(16),
            "flight": lambda: rng.choice(["CA", "MU", "CZ", "HU"]) + self.digits(4),
            "train": lambda: rng.choice("GDKZ") + self.digits(rng.randint(2, 4)),
            "score": lambda: rng.choice(
                [str(rng.randint(55, 100)), str(rng.randint(400, 680)), f"{rng.randint(60, 99)}.5"]
            ),
            "rank": lambda: f"{rng.randint(1, 30)}/{rng.randint(31, 200)}",
            "room": lambda: f"{rng.choice(['', 'A', 'B', '东'])}{rng.randint(101, 2999)}",
            "room2": lambda: rng.choice(["第一会议室", "多功能厅", "报告厅", f"{rng.randint(101, 999)}会议室"]),
            "age": lambda: str(rng.randint(16, 78)),
            "height": lambda: f"{rng.randint(150, 190)}{rng.choice(['', 'cm', '厘米'])}",
            "weight": lambda: f"{rng.randint(40, 95)}{rng.choice(['', 'kg', '公斤', 'KG'])}",
            "years": lambda: f"{rng.randint(1, 30)}{rng.choice(['年', '', '年'])}",
            "days": lambda: f"{rng.randint(1, 90)}{rng.choice(['天', '', '日'])}",
            "day": lambda: f"{rng.randint(1, 12)}月{rng.randint(1, 28)}日",
            "small": lambda: str(rng.randint(1, 12)),
            "quantity": lambda: rng.choice([str(rng.randint(1, 60)), str(rng.randint(1, 99) * 100)]),
            "percent": lambda: f"{rng.choice([3, 5, 6, 9, 13, 17, 20, 25, 30, 50, 80])}%",
            "decimal": lambda: f"{rng.uniform(0.01, 99):.{rng.randint(1, 3)}f}",
            "area": lambda: f"{rng.uniform(30, 400):.1f}{rng.choice(['', '㎡', '平方米'])}",
            "volume": lambda: f"{rng.uniform(0.1, 30):.2f}m³",
            "temperature": lambda: f"{rng.uniform(35.8, 37.5):.1f}{rng.choice(['℃', '', '度'])}",
            "pulse": lambda: f"{rng.randint(60, 100)}次/分",
            "pressure": lambda: f"{rng.randint(100, 150)}/{rng.randint(60, 95)}mmHg",
            "vision": lambda: f"{rng.choice(['4.8', '5.0', '5.1', '4.6', '0.8', '1.0', '1.5'])}",
            "displacement": lambda: rng.choice(["1.5L", "1.6L", "2.0T", "1998ml"]),
            "mileage": lambda: f"{rng.randint(3, 250) * 1000}公里",
            "floor": lambda: f"{rng.randint(1, 33)}层",
            "dose": lambda: rng.choice(["0.5g", "10mg", "2片", "100ml", "1粒"]),
        }

    def value(self, kind: str) -> str:
        words = _WORDS.get(kind)
        if words is not None:
            return self.rng.choice(words)
        return self._makers[kind]()

    def word(self, low: int = 2, high: int = 4) -> str:
        return prose.zh_word(self.rng, low, high)

    def digits(self, count: int) -> str:
        return "".join(self.rng.choices("0123456789", k=count))

    def letters(self, count: int) -> str:
        return "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz", k=count))

    def code_text(self, count: int) -> str:
        return "".join(self.rng.choices("0123456789ABCDEFGHJKLMNPRSTUWXY", k=count))

    def name(self) -> str:
        given = words_zh.GIVEN if self.rng.random() < 0.8 else prose.COMMON_CHARACTERS
        return self.rng.choice(words_zh.SURNAMES) + "".join(self.rng.choices(given, k=self.rng.choice((1, 2, 2, 2))))

    def date(self) -> str:
        year, month, day = self.year + self.rng.randint(-3, 1), self.rng.randint(1, 12), self.rng.randint(1, 28)
        style = self.date_style if self.rng.random() < 0.8 else self.rng.randrange(7)
        return (
            f"{year}年{month}月{day}日",
            f"{year}.{month}.{day}",
            f"{year}-{month:02d}-{day:02d}",
            f"{year}{month:02d}{day:02d}",
            f"{year}/{month}/{day}",
            f"{year}.{month:02d}.{day:02d}",
            f"{year}年{month:02d}月{day:02d}日",
        )[style]

    def month(self) -> str:
        year, month = self.year - self.rng.randint(1, 40), self.rng.randint(1, 12)
        return (
            f"{year}年{month}月",
            f"{year}.{month}",
            f"{year}.{month:02d}",
            f"{year}{month:02d}",
            f"{year}-{month:02d}",
            f"{year}/{month}",
            f"{year}.{month}",
        )[self.date_style]

    def city(self) -> str:
        rng = self.rng
        province = rng.choice(list(words_zh.CITIES_OF))
        place = rng.choice(words_zh.CITIES_OF[province])
        style = rng.randrange(5)
        if style < 2:
            own = ("广西", "内蒙古", "宁夏", "新疆")
            return province + ("" if style or province in own else "省") + place + ("" if style else "市")
        return rng.choice(words_zh.PLACES) + ("市" if style == 2 else "")

    def school(self) -> str:
        kinds = (
            "大学",
            "理工大学",
            "师范大学",
            "职业技术学院",
            "第一中学",
            "医科大学",
            "财经学院",
            "实验中学",
            "农业大学",
        )
        return (self.rng.choice(words_zh.PLACES) if self.rng.random() < 0.7 else self.word(2, 2)) + self.rng.choice(
            kinds
        )

    def company(self) -> str:
        place = self.rng.choice(words_zh.PLACES) if self.rng.random() < 0.7 else ""
        return (
            place
            + self.word(2, 3)
            + self.rng.choice(_COMPANY_KINDS)
            + self.rng.choice(("有限公司", "有限公司", "有限责任公司", "股份有限公司", "公司", "厂", "中心"))
        )

    def address(self) -> str:
        rng = self.rng
        text = self.city() if rng.random() < 0.7 else ""
        text += (
            self.word(2, 2)
            + rng.choice(("区", "县", "镇", "新区"))
            + self.word(2, 3)
            + rng.choice(("路", "街", "大道", "巷"))
        )
        text += f"{rng.randint(1, 999)}号"
        if rng.random() < 0.5:
            text += rng.choice(
                (
                    f"{rng.randint(1, 30)}栋{rng.randint(1, 4)}单元{rng.randint(101, 2501)}室",
                    self.word(2, 2) + "小区",
                    self.word(2, 2) + f"大厦{rng.randint(2, 30)}层",
                )
            )
        return text

    def idcard(self) -> str:
        rng = self.rng
        born = f"{rng.randint(1955, 2005)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
        return f"{rng.randint(11, 65)}{self.digits(4)}{born}{self.digits(3)}{rng.choice('0123456789X')}"

    def email(self) -> str:
        user = self.letters(self.rng.randint(3, 8)) + (
            self.digits(self.rng.randint(2, 4)) if self.rng.random() < 0.5 else ""
        )
        return (
            (self.digits(9) if self.rng.random() < 0.4 else user)
            + "@"
            + self.rng.choice(("qq.com", "163.com", "126.com", "sina.com", "gmail.com", self.letters(5) + ".com.cn"))
        )

    def bank(self) -> str:
        return self.rng.choice(_BANKS) + (
            self.rng.choice(words_zh.PLACES) + self.word(2, 2) + "支行" if self.rng.random() < 0.6 else ""
        )

    def item(self) -> str:
        return (self.word(2, 2) if self.rng.random() < 0.3 else "") + self.rng.choice(_GOODS)

    def course(self) -> str:
        return self.rng.choice(
            (
                "高等数学",
                "大学英语",
                "线性代数",
                "安全生产培训",
                "会计基础",
                "岗前培训",
                "有机化学",
                "礼仪培训",
                "电路原理",
                "语文",
                "数据分析",
                "消防知识",
                "财务软件",
                self.word() + "基础",
            )
        )

    def money(self) -> str:
        rng = self.rng
        amount = rng.choice((rng.randint(1, 99) * 100, rng.randint(10, 9999), rng.randint(1, 500) * 10000))
        return rng.choice(
            (
                f"{amount}",
                f"{amount:,}.00",
                f"{amount}元",
                f"¥{amount}.00",
                f"{amount / 10:.2f}",
                f"{rng.randint(1, 900)}万元",
                f"{amount:.2f}",
            )
        )

    def capital(self) -> str:
        rng = self.rng
        digit = [_DIGITS[rng.randint(1, 9)] for _ in range(4)]
        tens = rng.choice(("", digit[3] + "拾"))
        return f"{digit[0]}万{digit[1]}仟{digit[2]}佰{tens}元整"

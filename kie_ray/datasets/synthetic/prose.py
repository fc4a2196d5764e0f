"""Free text from small grammars, plus random words from the common characters of GB2312 level 1 (3,755 characters)."""

from __future__ import annotations

import random

from kie_ray.datasets.synthetic.lists import words_of

COMMON_CHARACTERS = "".join(
    bytes((0xA0 + row, 0xA0 + column)).decode("gb2312")
    for row in range(16, 56)
    for column in range(1, 95)
    if not (row == 55 and column > 89)
)
"""GB2312 level 1, derived from the codec, so no data file is needed."""

_ZH_SUBJECTS = words_of(
    "本人 该同志 申请人 我单位 项目组 客户 患者 该生 设备 公司 现场人员 工作小组 双方 该产品 部门员工 经办人 学校 "
    "委托方 调查人员 被保险人 车辆 样品 合作单位 会员 承租方 维修人员 该课题 仓库管理员 企业 社区居民"
)
_ZH_TIMES = words_of(
    "近期 去年 今年以来 目前 自入职起 上半年 第三季度 工作期间 在校期间 当日上午 事发后 三年来 节假日期间 试用期内 "
    "本周 月底前 多年来 经审核后 按照计划 根据要求 在领导的支持下 通过学习 结合实际情况 为了提高效率 由于天气原因 "
    "因业务发展需要 经双方协商 在规定时间内"
)
_ZH_VERBS = words_of(
    "完成了 负责 参加了 积极配合 熟悉 认真学习 按时提交 协助处理 独立承担 组织开展 检查了 更换了 购买了 申请办理 "
    "主动联系 重点分析 编制了 准备了 掌握 提出了 已经落实 修改了 确认了 发现 解决了 继续推进 需要补充 逐步改善 "
    "如实填写 妥善保管 严格遵守 定期维护 及时上报 详细记录 全面核对"
)
_ZH_ADJECTIVES = words_of(
    "相关 全部 主要 新的 年度 重要 日常 基础 专业 各项 详细 部分 必要 剩余 核心 原有 具体 大量 有关 上述 完整 真实 "
    "内部 安全 技术 财务 临时"
)
_ZH_OBJECTS = words_of(
    "工作 材料 业务流程 培训课程 实验数据 合同文本 客户需求 设备零件 报名手续 统计报表 调查问卷 产品质量 管理制度 "
    "项目方案 服务内容 操作规程 检验记录 财务凭证 实习任务 志愿活动 市场调研 系统升级 软件开发 施工图纸 住院治疗 "
    "运输路线 库存货物 会议纪要 学习计划 房屋修缮 保险责任 税务申报 教学任务 安全隐患 研究报告 配套设施 银行账户 "
    "身份信息 环境监测 病情变化 货款结算 人员安排"
)
_ZH_TAILS = words_of(
    "效果良好 得到好评 符合要求 希望批准 请予办理 无不良记录 责任心强 善于沟通 身体恢复较好 费用由单位承担 "
    "已通知本人 手续齐全 能够胜任岗位 没有造成损失 工作认真负责 具有团队精神 如有变动及时通知 愿意承担相应责任 "
    "数据真实可靠 将继续努力 尚需进一步观察 建议按期复查 运行正常 待领导审批"
)
_ZH_NOTES = (
    "本表一式{n}份,由{o}和申请人各执一份。",
    "请用黑色签字笔填写,字迹清楚,不得涂改。",
    "{o}提交时须附{a}复印件。",
    "带*号的项目为必填内容。",
    "本表内容须如实填写,如有虚假自行承担责任。",
    "联系电话:{p}。",
    "表格不够填写时可另附页。",
    "{o}应于每月{d}日前完成。",
    "相关证明材料请按顺序装订。",
    "未尽事宜由{o}负责解释。",
    "以上所填内容均属实,如有不实愿承担一切后果。",
    "办理时间为工作日上午{h}:30至下午5:00。",
    "{o}有权对所填信息进行核实。",
    "打印本表时请使用A4纸双面打印。",
    "申请材料恕不退还,请自行留存备份。",
    "逾期未办理的视为自动放弃。",
    "照片请贴在指定位置,背面注明姓名。",
    "本人同意{o}使用上述信息办理{a}业务。",
)
_ZH_ORGANS = words_of(
    "办公室 主管部门 人事处 受理窗口 财务科 服务中心 我公司 学院 管理处 所在单位 审核小组 登记机关 银行网点 本协会"
)
_ZH_PAPERS = words_of(
    "身份证 学历证书 营业执照 户口本 授权委托书 诊断证明 行驶证 发票 合同 获奖证书 收入证明 房产证 资格证"
)


def zh_word(rng: random.Random, low: int = 2, high: int = 4) -> str:
    """Random word of common characters: brand, street, company and topic names, so that training sees them all."""
    return "".join(rng.choices(COMMON_CHARACTERS, k=rng.randint(low, high)))


def zh_sentence(rng: random.Random) -> str:
    parts = []
    if rng.random() < 0.5:
        parts.append(rng.choice(_ZH_TIMES) + ("," if rng.random() < 0.3 else ""))
    parts.append(rng.choice(_ZH_SUBJECTS) if rng.random() < 0.7 else "")
    parts.append(rng.choice(_ZH_VERBS))
    if rng.random() < 0.35:
        parts.append(zh_word(rng))
    parts.append(rng.choice(_ZH_ADJECTIVES) if rng.random() < 0.6 else "")
    parts.append(rng.choice(_ZH_OBJECTS))
    if rng.random() < 0.25:
        parts.append(rng.choice("和及与、") + rng.choice(_ZH_OBJECTS))
    if rng.random() < 0.45:
        parts.append("," + rng.choice(_ZH_TAILS))
    return "".join(parts)


def zh_text(rng: random.Random, characters: int) -> str:
    """Sentences until about `characters` characters are there."""
    text = ""
    while len(text) < characters:
        text += zh_sentence(rng) + rng.choice("。。。;,")
    return text.rstrip(";,。") + rng.choice(["。", "。", ""])


def zh_note(rng: random.Random) -> str:
    note = rng.choice(_ZH_NOTES) if rng.random() < 0.75 else zh_text(rng, rng.randint(12, 60))
    values = {
        "n": rng.choice("二三四两"),
        "o": rng.choice(_ZH_ORGANS),
        "a": rng.choice(_ZH_PAPERS),
        "p": f"0{rng.randint(10, 999)}-{rng.randint(2000000, 89999999)}",
        "d": str(rng.randint(5, 28)),
        "h": str(rng.randint(8, 9)),
    }
    for name, value in values.items():
        note = note.replace("{" + name + "}", value)
    return note


_EN_SUBJECTS = words_of(
    "the laboratory|our department|the panel|this product|the customer|the supplier|the project team|the sales staff|"
    "the sample|management|the field force|the applicant|the tenant|the patient|the carrier|the new package|"
    "the current blend|the agency|the retailer|the study|the committee|the plant|our office|the vendor|"
    "the contractor|the equipment|this proposal|the survey|the test market|the employee",
    "|",
)
_EN_VERBS = words_of(
    "will complete|has reviewed|should provide|received|requested|must return|will discuss|has approved|"
    "is expected to confirm|prepared|will ship|did not find|has tested|will evaluate|agreed to support|needs|"
    "replaced|will forward|showed|is planning|has scheduled|inspected|reported|will monitor|cannot accept|revised|"
    "is testing|compared|purchased|will install",
    "|",
)
_EN_OBJECTS = words_of(
    "the final report|all remaining samples|a revised budget|the new labels|additional copies|the attached forms|"
    "the monthly figures|a lower price|the signed agreement|the damaged cartons|significant differences|"
    "the control product|the delivery schedule|the claim|the display material|the coupon program|the test results|"
    "a written reply|the safety procedure|the filter material|two additional weeks|the moisture data|"
    "the promotion plan|the outstanding balance|the training program|the draft protocol|the product specifications|"
    "the survey data",
    "|",
)
_EN_TAILS = words_of(
    "before the end of the month|as soon as possible|in the northern region|by next Friday|during the second quarter|"
    "without further notice|for the national launch|under normal conditions|at no additional charge|on the same day|"
    "in all test markets|from the previous period|with the exception of one lot|in accordance with company policy|"
    "at the main plant|prior to shipment|because of the weather",
    "|",
)
_EN_NOTES = words_of(
    "This form must be completed in full before processing.|Please print or type.|"
    "Return the original to the address above.|Attach additional sheets if necessary.|"
    "Allow two weeks for processing.|For internal use only.|See reverse side for instructions.|"
    "All claims must be made within thirty days of receipt.|"
    "If you did not receive all pages, please call as soon as possible.|"
    "I certify that the above information is true and complete to the best of my knowledge.|"
    "Distribution: white - file, yellow - originator.|"
    "The information in this message is confidential and intended only for the person named above.|"
    "Prices are subject to change without notice.|Use a separate form for each request.|"
    "Incomplete forms will be returned.|Retain a copy for your records.|Do not write below this line.|"
    "If you are not the intended recipient, please destroy this message and notify the sender by telephone.",
    "|",
)


def en_sentence(rng: random.Random) -> str:
    parts = [rng.choice(_EN_SUBJECTS), rng.choice(_EN_VERBS), rng.choice(_EN_OBJECTS)]
    if rng.random() < 0.5:
        parts.append(rng.choice(_EN_TAILS))
    if rng.random() < 0.2:
        parts.append("and " + rng.choice(_EN_VERBS) + " " + rng.choice(_EN_OBJECTS))
    text = " ".join(parts)
    return text[0].upper() + text[1:]


def en_text(rng: random.Random, characters: int) -> str:
    """Sentences until about `characters` characters are there."""
    text = ""
    while len(text) < characters:
        text += (" " if text else "") + en_sentence(rng) + "."
    return text


def en_phrase(rng: random.Random) -> str:
    text = f"{rng.choice(_EN_VERBS)} {rng.choice(_EN_OBJECTS)}" if rng.random() < 0.4 else rng.choice(_EN_OBJECTS)
    text = text.removeprefix("the ").removeprefix("a ")
    return text[0].upper() + text[1:]


def en_note(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return " ".join(rng.sample(_EN_NOTES, rng.choice((1, 1, 2, 3))))
    return en_text(rng, rng.randint(40, 200))

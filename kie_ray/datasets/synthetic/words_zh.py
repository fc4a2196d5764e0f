"""Chinese vocabulary of the form generator: field names by domain, sections, tables, choices, building blocks of names.

All lists were written for this project; no annotated data set was copied. A field is `name/kind`; the kinds are the
methods of `values_zh.ValuesZh`. Prefixes and suffixes multiply: `PERSONS` x `PERSON_FIELDS` alone gives over 500 names.
"""

# fmt: off
# ruff: noqa: E501  (word lists: a line a topic; CJK characters count double)
from __future__ import annotations

Field = tuple[str, str]
"""Field name, kind of its value."""


def _fields(text: str) -> list[Field]:
    return [(name, kind) for name, kind in (item.split("/") for item in text.split())]


DOMAINS: dict[str, list[Field]] = {
    "招聘": _fields(
        "姓名/name 性别/sex 年龄/age 民族/nation 籍贯/city 出生日期/date 出生年月/month 政治面貌/party 婚姻状况/marriage 身高/height "
        "体重/weight 学历/degree 学位/bachelor 毕业院校/school 所学专业/major 毕业时间/month 外语水平/skill 计算机水平/skill "
        "应聘职位/job 应聘部门/department 期望月薪/salary 目前月薪/salary 到岗时间/date 现工作单位/company 职称/title 现任职务/job "
        "工作年限/years 户口所在地/city 现居住地/address 联系电话/phone 电子邮箱/email 身份证号码/idcard 兴趣爱好/hobby 特长/hobby "
        "健康状况/health 血型/blood 个人主页/web 紧急联系人/name 离职原因/phrase 参加工作时间/month 驾照类型/licence 宗教信仰/none "
        "是否服从调剂/yesno 有无亲属在本单位/yesno 推荐人/name 信息来源/source"
    ),
    "入学": _fields(
        "学生姓名/name 曾用名/none 性别/sex 出生年月/month 学号/number 学籍号/number 年级/grade 班级/classroom 院系/college 专业名称/major "
        "录取批次/batch 入学时间/month 考生号/number 准考证号/number 高考总分/score 生源地/city 毕业中学/school 班主任/name "
        "宿舍号/room 监护人姓名/name 与学生关系/relation 监护人电话/phone 家庭住址/address 邮政编码/postcode 是否独生子女/yesno "
        "是否住校/yesno 担任职务/cadre 获奖情况/award 语文成绩/score 数学成绩/score 英语成绩/score 综合排名/rank 学制/years "
        "学费标准/money 转出学校/school 转入学校/school 申请理由/phrase 指导教师/name 论文题目/topic 研究方向/major 导师姓名/name"
    ),
    "医疗": _fields(
        "患者姓名/name 性别/sex 年龄/age 住院号/code 门诊号/code 床号/number2 科室/ward 病历号/code 入院日期/date 出院日期/date "
        "主诉/symptom 初步诊断/illness 过敏史/none 既往病史/none 体温/temperature 脉搏/pulse 血压/pressure 心率/pulse 呼吸/small "
        "身高/height 体重/weight 血型/blood 主治医师/name 手术名称/surgery 麻醉方式/anaesthesia 用药情况/drug 检查项目/check "
        "检查结果/normal 家属姓名/name 联系方式/phone 医保卡号/number 费用类别/paytype 视力左/vision 视力右/vision 听力/normal "
        "肝功能/normal 胸部透视/normal 接种日期/date 疫苗名称/vaccine 生产批号/code 送检标本/specimen 采样时间/datetime 报告日期/date"
    ),
    "银行": _fields(
        "户名/company 账号/account 开户银行/bank 开户日期/date 币种/currency 账户性质/accounttype 存款人名称/company 法定代表人/name "
        "证件类型/idtype 证件号码/idcard 注册资金/money 经营范围/scope 注册地址/address 联系人/name 联系电话/phone 传真/tel "
        "手机号码/phone 对账方式/delivery 预留印鉴/none 贷款金额/money 贷款期限/years 贷款用途/phrase 还款方式/repay 担保方式/guarantee "
        "年收入/money 月均支出/money 抵押物名称/item 信用卡号/account 卡片等级/level 账单日/day 汇款金额/money 收款人户名/company "
        "收款人账号/account 收款银行/bank 附言/phrase 手续费/money 支付密码/none 基金账号/account 风险等级/level 转账日期/date"
    ),
    "保险": _fields(
        "保单号/code 险种名称/insurance 投保日期/date 保险期限/years 保险金额/money 保费/money 缴费方式/repay 投保人/name 被保险人/name "
        "受益人/name 受益比例/percent 出险时间/datetime 出险地点/address 出险原因/cause 事故经过/phrase 损失金额/money 报案人/name "
        "报案时间/datetime 车牌号码/plate 驾驶人/name 驾驶证号/idcard 医院名称/hospital 诊断结论/illness 理赔金额/money 开户行/bank "
        "银行账号/account 查勘员/name 查勘日期/date 定损金额/money 赔案号/code 职业类别/job 单位名称/company 批改原因/cause"
    ),
    "出入境": _fields(
        "中文姓名/name 英文姓名/pinyin 国籍/country 护照号码/passport 签发日期/date 签发机关/office 有效期至/date 出生地点/city "
        "入境日期/date 离境日期/date 停留天数/days 前往国家/country 出行目的/purpose 航班号/flight 邀请单位/company 邀请人/name "
        "在华住址/address 酒店名称/hotel 同行人数/small 签证种类/visa 签证号码/code 配偶姓名/name 职业/job 工作单位/company "
        "单位电话/tel 紧急联系电话/phone 曾访国家/country 费用承担方/payer 户口所在地派出所/office 取证方式/delivery"
    ),
    "采购": _fields(
        "订单编号/code 供应商名称/company 采购日期/date 交货日期/date 交货地点/address 付款方式/paytype 运输方式/transport 合同编号/code "
        "采购部门/department 采购员/name 货物名称/item 规格型号/model 数量/quantity 单位/unit 单价/money 金额/money 税率/percent 税额/money "
        "价税合计/money 发票号码/number 发票代码/number 开票日期/date 购货单位/company 销货单位/company 纳税人识别号/taxid "
        "收货人/name 验收人/name 验收结果/normal 质保期/years 折扣率/percent 总价大写/capital 预付款/money 库存数量/quantity 请购单号/code"
    ),
    "租赁": _fields(
        "出租方/company 承租方/name 房屋坐落/address 建筑面积/area 房屋用途/use 产权证号/code 租赁期限/years 起租日期/date 终止日期/date "
        "月租金/money 押金/money 付款周期/cycle 物业公司/company 物业费/money 水表读数/quantity 电表读数/quantity 户型/housetype "
        "楼层/floor 装修情况/decor 房屋朝向/direction 共有人/name 中介机构/company 备案编号/code 家具清单/item 缴费方式/repay 车位号/room"
    ),
    "物流": _fields(
        "运单号/number 寄件人/name 寄件单位/company 寄件地址/address 寄件电话/phone 收件人/name 收件单位/company 收件地址/address "
        "收件电话/phone 货物名称/item 件数/small 重量/weight 体积/volume 保价金额/money 运费/money 付款方式/paytype 始发站/city "
        "目的站/city 发货日期/date 预计到达/date 包装方式/package 司机姓名/name 车牌号/plate 箱号/code 封条号/code 报关单号/number "
        "提单号/code 船名航次/ship 装货港/city 卸货港/city 贸易方式/trade 原产国/country 毛重/weight 净重/weight 签收人/name 签收时间/datetime"
    ),
    "车辆": _fields(
        "车主姓名/name 号牌号码/plate 车辆类型/vehicle 品牌型号/brand 车身颜色/colour 发动机号/code 车架号/vin 注册日期/date 使用性质/use2 "
        "排量/displacement 核定载客/small 行驶里程/mileage 年检日期/date 保险到期日/date 维修项目/repair 配件费用/money 工时费/money "
        "送修人/name 承修厂家/company 故障描述/phrase 进厂时间/datetime 出厂时间/datetime 燃料种类/fuel 驾驶证档案编号/number 违章次数/small"
    ),
    "税务": _fields(
        "纳税人名称/company 纳税人识别号/taxid 所属期起/date 所属期止/date 登记注册类型/corptype 行业类别/industry 税种/tax 计税依据/money "
        "适用税率/percent 应纳税额/money 减免税额/money 已缴税额/money 应补税额/money 主管税务机关/office 办税人员/name 财务负责人/name "
        "申报日期/date 从业人数/quantity 资产总额/money 营业收入/money 营业成本/money 利润总额/money 开户银行/bank 登记序号/number 申请事项/phrase"
    ),
    "会员": _fields(
        "会员编号/number 会员等级/level 入会日期/date 会员姓名/name 生日/birthday 单位名称/company 通讯地址/address 手机/phone 微信号/wechat "
        "QQ号码/qq 邮箱/email 兴趣方向/hobby 介绍人/name 会费金额/money 缴费日期/date 有效期/years 分会名称/city 理事推荐/yesno "
        "专业领域/industry 行业经验/years 主要成果/topic 社会兼职/job 常用语言/language 志愿服务时长/quantity"
    ),
    "报销": _fields(
        "报销人/name 所属部门/department 报销日期/date 报销事由/phrase 出差地点/city 出差天数/days 起止日期/period 交通费/money 住宿费/money "
        "餐费/money 办公费/money 招待费/money 其他费用/money 合计金额/money 大写金额/capital 附件张数/small 预借款/money 退补金额/money "
        "收款账户/account 项目编号/code 项目名称/project 成本中心/department 出纳/name 会计/name 审批人/name 凭证号/number 预算科目/subject"
    ),
    "会议": _fields(
        "会议名称/event 会议时间/datetime 会议地点/room2 主办单位/company 参会人数/small 参会代表/name 代表单位/company 职务职称/title "
        "到达日期/date 返程日期/date 返程车次/train 住宿要求/roomtype 房间数/small 注册费/money 发票抬头/company 报告题目/topic 报告形式/talk "
        "饮食要求/diet 是否接站/yesno 航班车次/flight 主持人/name 记录人/name 会议主题/topic 讲座时间/datetime 场地编号/room 设备需求/item"
    ),
    "检测": _fields(
        "样品名称/item 样品编号/code 送检单位/company 委托单位/company 检测项目/check 检测依据/standard 检测日期/date 取样地点/address "
        "取样人/name 样品数量/quantity 样品状态/state 环境温度/temperature 相对湿度/percent 仪器型号/model 仪器编号/code 检测结果/normal "
        "单项判定/qualified 检验员/name 复核人/name 报告编号/code 生产日期/date 生产批号/code 保质期/days 执行标准/standard 平均值/decimal "
        "最大值/decimal 最小值/decimal 偏差/percent 生产厂家/company 商标/brandname"
    ),
    "工程": _fields(
        "项目名称/project 项目编号/code 建设单位/company 施工单位/company 监理单位/company 设计单位/company 工程地点/address 开工日期/date "
        "竣工日期/date 合同金额/money 结构类型/structure 建筑面积/area 层数/floor 项目经理/name 技术负责人/name 安全员/name 质量等级/level "
        "材料名称/item 进场数量/quantity 使用部位/part 检验批号/code 验收部位/part 分包单位/company 立项时间/month 总投资/money 资金来源/fund "
        "申报单位/company 项目负责人/name 合作单位/company 起止时间/period 经费预算/money 成果形式/result 知识产权/yesno"
    ),
    "政务": _fields(
        "申请人/name 申请事项/phrase 证件名称/idtype 证件号码/idcard 户主姓名/name 家庭人口/small 家庭月收入/money 所在社区/community "
        "所在街道/street 办理时限/days 受理编号/code 受理日期/date 受理人/name 许可证号/code 经营场所/address 负责人/name 企业类型/corptype "
        "统一社会信用代码/taxid 行政区划/city 低保证号/code 残疾等级/level 致贫原因/cause 就业状态/work 退役时间/month 服役部队/none "
        "登记机关/office 社保编号/number 公积金账号/account 缴存基数/money 缴存比例/percent 变更前内容/phrase 变更后内容/phrase"
    ),
}

PERSONS = ["申请人", "法定代表人", "经办人", "联系人", "监护人", "配偶", "父亲", "母亲", "紧急联系人", "推荐人", "担保人", "投保人", "被保险人", "受益人", "承租人", "出租人", "收货人", "发货人", "车主", "负责人", "代理人", "委托人", "导师", "报告人", "考生", "家长", "本人", "股东", "财务人员", "使用人", "授权人", "共同申请人", "参赛者", "课题负责人"]
PERSON_FIELDS = _fields(
    "姓名/name 性别/sex 电话/phone 手机/phone 联系电话/phone 证件号码/idcard 身份证号/idcard 地址/address 通讯地址/address 邮箱/email "
    "职务/job 职业/job 单位/company 工作单位/company 签名/name 签字/name 出生日期/date 学历/degree 年龄/age 户籍/city 银行卡号/account"
)
ORGANISATIONS = ["单位", "公司", "学校", "企业", "机构", "项目", "产品", "设备", "团队", "基地", "商户", "协会", "课程", "活动", "作品", "部门", "门店", "工厂", "医院", "社团"]
ORGANISATION_FIELDS = _fields(
    "名称/company 全称/company 地址/address 代码/code 编号/code 电话/tel 传真/tel 网址/web 邮编/postcode 性质/corptype 类型/level "
    "规模/quantity 负责人/name 所在地/city 成立时间/date 简介/phrase 人数/quantity 等级/level 联系人/name"
)
SIGNATURES = ["申请人签名", "本人签字", "经办人", "审核人", "负责人签字", "部门经理签字", "填表人", "复核人", "法定代表人签章", "家长签字", "承诺人", "单位负责人", "主管领导签字", "制表人", "客户签名", "受理人签字", "批准人", "院长签字", "领导签字", "监护人签字", "医师签名", "项目负责人签字", "验收人", "检查人", "登记人", "签收人"]
OPINIONS = ["部门意见", "人事部门意见", "主管领导意见", "所在单位意见", "学院意见", "学校审核意见", "上级主管部门意见", "财务部门意见", "总经理意见", "村委会意见", "街道办事处意见", "审批意见", "初审意见", "复审意见", "导师意见", "专家组意见", "评审意见", "社区意见", "分管领导意见", "监理单位意见", "验收意见", "银行审核意见", "公司意见", "行政部意见", "资格审查意见"]
VERDICTS = ["同意", "情况属实", "同意申请", "拟同意", "审核通过", "同意上报", "符合条件", "建议录用", "同意推荐", "予以批准", "经核实无误", "合格", "同意报销", "同意办理", "材料齐全", "准予登记", "请按规定办理", "同意所报意见", "无异议"]
STAMPS = ["(公章)", "(盖章)", "(签章)", "(单位盖章)", "(加盖公章)", "公章", "盖章:", "(签字盖章)", "(部门盖章)", "单位公章", "(业务专用章)"]
SECTIONS = ["基本信息", "个人信息", "联系方式", "教育背景", "工作经历", "家庭情况", "账户信息", "企业基本情况", "项目概况", "申请内容", "投保信息", "车辆信息", "货物信息", "费用明细", "检测数据", "学习情况", "健康状况", "财务状况", "房屋信息", "出行信息", "受理信息", "审核记录", "附件材料", "其他事项", "客户资料", "设备参数", "业务类型", "变更事项", "合同信息", "参会信息", "获奖情况", "资格审查", "法人信息", "股东信息", "担保信息", "回执信息", "配送信息", "结算信息", "服务内容", "培训记录", "既往经历", "证件信息", "居住信息", "资质情况", "会员资料", "银行专用栏", "由工作人员填写"]
LONG_TEXTS = ["自我评价", "申请理由", "个人简历", "主要事迹", "工作业绩", "项目简介", "备注", "事故经过", "职业规划", "研究内容", "工作内容", "建议", "存在问题", "整改措施", "获奖情况", "培训内容", "情况说明", "主要经历", "科研成果", "其他说明", "病史摘要", "诊疗经过", "检查所见", "处理意见", "故障现象", "维修记录", "课程目标", "活动方案", "经营范围", "实习总结", "入会理由", "推荐理由", "个人承诺", "声明", "本人承诺", "学习计划", "家庭困难情况说明", "预期成果", "产品介绍", "服务要求", "客户需求", "现场情况", "会议纪要", "调查结论", "风险提示", "特别约定"]
TABLES: list[tuple[str, list[Field]]] = [
    ("教育经历", _fields("起止时间/period 学校名称/school 专业/major 学历/degree 学位/bachelor 证明人/name 毕业院校/school 学习形式/study")),
    ("工作经历", _fields("起止年月/period 工作单位/company 职务/job 离职原因/phrase4 证明人/name 联系电话/phone 部门/department 月薪/salary")),
    ("家庭成员", _fields("姓名/name 关系/relation 年龄/age 工作单位/company 职业/job 联系方式/phone 政治面貌/party 身体状况/health")),
    ("培训经历", _fields("时间/period 培训机构/company 培训内容/subject2 证书/certificate 学时/quantity 成绩/score")),
    ("获奖情况", _fields("时间/month 奖项名称/award 授奖单位/company 级别/level 排名/small")),
    ("货物明细", _fields("序号/serial 名称/item 规格/model 单位/unit 数量/quantity 单价/money 金额/money 备注/note")),
    ("费用明细", _fields("日期/day 摘要/item 项目/subject 金额/money 票据张数/small 备注/note")),
    ("检测结果", _fields("序号/serial 检测项目/check 标准要求/decimal 实测值/decimal 单项结论/qualified 单位/unit 检测方法/standard")),
    ("成绩登记", _fields("课程名称/subject2 学分/small 成绩/score 学期/grade 考试性质/exam 任课教师/name")),
    ("股东情况", _fields("股东名称/name 证件号码/idcard 出资额/money 出资比例/percent 出资方式/fund 出资日期/date")),
    ("项目组成员", _fields("姓名/name 年龄/age 职称/title 单位/company 分工/subject2 签名/name 专业/major")),
    ("设备清单", _fields("设备名称/item 型号/model 数量/quantity 生产厂家/company 购置日期/date 单价/money 状态/state")),
    ("行程安排", _fields("日期/date 出发地/city 目的地/city 交通工具/transport 车次/train 费用/money")),
    ("用药记录", _fields("日期/date 药品名称/drug 剂量/dose 用法/usage 医师/name")),
    ("论文著作", _fields("题目/topic 发表时间/month 刊物名称/journal 作者排名/small 收录情况/level")),
    ("经费预算", _fields("科目/subject 预算金额/money 计算依据/phrase4 备注/note 资金来源/fund")),
    ("资产负债", _fields("项目/subject 期初余额/money 期末余额/money 本期增加/money 本期减少/money")),
    ("车辆清单", _fields("车牌号/plate 车型/vehicle 颜色/colour 驾驶员/name 联系电话/phone 购置日期/month")),
    ("社会关系", _fields("称谓/relation 姓名/name 出生年月/month 工作单位及职务/company 政治面貌/party")),
    ("考勤记录", _fields("日期/day 上午/attend 下午/attend 加班时数/small 签名/name 备注/note")),
]
CHOICES: list[tuple[str, str]] = [
    ("性别", "男 女"), ("婚姻状况", "未婚 已婚 离异 丧偶"), ("学历", "高中 专科 本科 硕士 博士"), ("证件类型", "身份证 护照 军官证 其他"),
    ("付款方式", "现金 转账 支票 刷卡"), ("是否首次办理", "是 否"), ("业务类型", "开户 变更 销户 挂失"), ("申请类别", "新增 续期 变更 注销"),
    ("领取方式", "自取 邮寄 代领"), ("房屋性质", "自有 租赁 单位宿舍 其他"), ("发票类型", "专用发票 普通发票 电子发票"), ("住宿安排", "单间 标间 合住 不住宿"),
    ("健康状况", "良好 一般 较差"), ("满意程度", "非常满意 满意 一般 不满意"), ("企业类型", "国有 民营 外资 合资 个体"), ("检验结论", "合格 不合格"),
    ("政治面貌", "群众 团员 党员 民主党派"), ("紧急程度", "普通 加急 特急"), ("户口性质", "农业 非农业"), ("缴费方式", "年缴 半年缴 季缴 月缴 趸缴"),
    ("贷款用途", "购房 购车 装修 经营 教育"), ("来访目的", "参观 洽谈 面试 送货 其他"), ("职称等级", "初级 中级 副高 正高"), ("是否服从调剂", "服从 不服从"),
    ("申报类型", "正常 破格 转评"), ("运输方式", "公路 铁路 航空 海运"), ("血型", "A型 B型 O型 AB型"), ("是否有过敏史", "有 无"), ("参会形式", "现场 线上"),
    ("培训方式", "脱产 半脱产 在职"), ("信息渠道", "网站 报纸 朋友介绍 电视 其他"), ("材料是否齐全", "齐全 不齐全"), ("投资方式", "货币 实物 知识产权"),
    ("每周锻炼次数", "0次 1-2次 3-5次 5次以上"), ("是否住院治疗", "是 否"), ("车辆用途", "营运 非营运 特种"), ("密码通知方式", "短信 信函 邮件"),
]
QUESTIONS = ["近期是否出现发热咳嗽等症状", "是否同意接收短信通知", "您对本次服务的总体评价", "是否有海外居住经历", "您每月使用本产品的次数", "是否从事过相关工作", "近三年内是否受过处分", "是否已经购买其他保险", "是否需要安排翻译", "过去半年内是否做过手术", "您选择我们的主要原因", "是否同意公开联系方式", "您希望参加的活动类型", "家庭主要收入来源", "是否具有相应资格证书", "企业是否通过质量体系认证", "是否存在关联交易", "是否愿意参加后续回访"]
TITLE_HEADS = ["新员工", "职工", "学生", "教师", "研究生", "会员", "企业", "个人", "客户", "供应商", "住房", "车辆", "设备", "项目", "科研", "课题", "志愿者", "社会保险", "公积金", "基金账户", "银行账户", "高新技术企业", "出国(境)人员", "专业技术人员", "外来人员", "毕业生", "退役军人", "残疾人", "困难家庭", "农村集体", "医疗机构", "食品经营", "危险品", "固定资产", "差旅费用", "投标单位", "培训班", "夏令营", "运动会"]
TITLE_TAILS = ["登记表", "申请表", "审批表", "报名表", "信息采集表", "推荐表", "评审表", "备案表", "变更申请书", "调查表", "统计表", "验收单", "报销单", "考核表", "鉴定表", "委托书", "确认单", "反馈表", "回执", "申报书", "检测报告", "入库单", "通知单", "履历表", "汇总表", "检查记录", "审核表", "承诺书", "结算单", "预约单"]
TITLE_MIDDLES = ["", "基本情况", "资格", "入职", "注册", "开户", "年度考核", "信息变更", "奖学金", "补贴", "出入", "采购", "租赁", "维修", "体检", "职称", "招聘", "参会", "资助", "认定", "复审", "业务", "服务", "验收", "转移", "延期", "免试"]
NOTE_LEADS = ["注:", "备注:", "说明:", "填表说明:", "注意事项:", "温馨提示:", "特别提示:", "填写须知:", "附注:"]
PHOTO = ("照片", "贴照片处", "近期一寸免冠照片", "一寸照片", "粘贴近期彩色照片", "二寸免冠蓝底照片")
_PROVINCES = (
    "河北:石家庄,唐山,保定,邯郸,廊坊 山西:太原,大同,临汾,运城 辽宁:沈阳,大连,鞍山,锦州 吉林:长春,通化,四平 黑龙江:哈尔滨,大庆,齐齐哈尔 "
    "江苏:南京,苏州,无锡,徐州,常州,扬州,南通,盐城 浙江:杭州,宁波,温州,嘉兴,绍兴,金华,台州 安徽:合肥,芜湖,蚌埠,安庆,黄山 福建:福州,厦门,泉州,漳州,莆田 "
    "江西:南昌,赣州,九江,上饶 山东:济南,青岛,烟台,潍坊,临沂,淄博 河南:郑州,洛阳,南阳,新乡,开封 湖北:武汉,襄阳,宜昌,荆州,黄石 湖南:长沙,株洲,湘潭,岳阳,衡阳 "
    "广东:广州,深圳,珠海,佛山,东莞,汕头,中山,惠州 海南:海口,三亚 四川:成都,绵阳,自贡,泸州,南充 贵州:贵阳,遵义,安顺 云南:昆明,曲靖,大理,丽江 "
    "陕西:西安,宝鸡,咸阳,渭南 甘肃:兰州,天水,酒泉 青海:西宁,海东 广西:南宁,柳州,桂林,北海 内蒙古:呼和浩特,包头,赤峰 宁夏:银川,吴忠 新疆:乌鲁木齐,克拉玛依"
)
CITIES_OF: dict[str, list[str]] = {
    province: cities.split(",") for province, cities in (item.split(":") for item in _PROVINCES.split())
}
PLACES = ["北京", "上海", "天津", "重庆", *(city for cities in CITIES_OF.values() for city in cities)]
SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛"
    "闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤柴柯涂焦巫卓屈骆商欧殷辛"
)
GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建国志文斌辉鹏飞宇浩然子轩梓涵欣怡佳雨晨思琪嘉俊凯博瑞雪梅琳慧颖倩婷莹菲晓春海波峰龙鑫亮森林"
    "东南北安宁康健永成立新民生德福荣贵祥瑜珊瑶璐萱依诺可馨妍冰清若兮诗语梦洁美珍凤云月星辰阳光旭昊天一凡景行知远承泽厚载学勤书翰墨丹青岩松柏桐楠"
)
LISTS: dict[str, str] = {
    "sex": "男 女",
    "nation": "汉 汉族 汉族 回 回族 满族 苗族 壮 藏族 彝族 土家族 侗族 白族 瑶族",
    "party": "群众 党员 团员 中共党员 共青团员 中共预备党员 民主党派 无党派",
    "marriage": "未婚 已婚 离异 否 是 已婚已育",
    "degree": "本科 大专 高中 中专 硕士研究生 博士 研究生 大学本科 初中",
    "bachelor": "学士 硕士 博士 无 工学学士 管理学硕士 理学学士",
    "skill": "熟练 良好 一般 英语四级 英语六级 精通 二级 计算机二级 日语N2",
    "hobby": "阅读 跑步 书法 摄影 篮球 羽毛球 唱歌 下棋 旅游 绘画 游泳 钢琴 写作",
    "health": "健康 良好 一般 优 身体健康",
    "blood": "A B O AB A型 O型 B型",
    "licence": "C1 C2 B2 A1 无",
    "none": "无 无 / 否 没有 暂无",
    "yesno": "是 否 有 无 服从",
    "source": "网站 朋友介绍 报纸 校园招聘 电视 公众号",
    "grade": "一年级 高二 2019级 大三 研一 2020级 初三 第一学期 第二学期",
    "college": "计算机学院 经济管理学院 外国语学院 机械工程系 医学院 法学院 化工学院 文学院",
    "batch": "本科一批 本科二批 提前批 专科批",
    "relation": "父亲 母亲 父子 母女 配偶 兄长 姐姐 祖父 叔叔 丈夫 妻子 儿子 女儿",
    "cadre": "班长 学习委员 团支书 无 体育委员 组长",
    "award": "一等奖学金 优秀学生干部 三好学生 优秀员工 科技进步二等奖 先进个人",
    "ward": "内科 外科 骨科 儿科 心内科 神经内科 妇产科 眼科 急诊科 呼吸科",
    "symptom": "咳嗽三天 头痛伴发热 腹痛半日 胸闷气短 右膝肿痛 乏力食欲下降",
    "illness": "上呼吸道感染 高血压 2型糖尿病 急性胃炎 骨折 肺炎 冠心病 腰椎间盘突出 阑尾炎 贫血",
    "surgery": "阑尾切除术 白内障手术 骨折内固定术 胆囊切除术 关节置换术",
    "anaesthesia": "全麻 局麻 腰麻 硬膜外",
    "drug": "阿莫西林 布洛芬 头孢克肟 二甲双胍 维生素C 阿司匹林 氨氯地平 奥美拉唑",
    "check": "血常规 尿常规 心电图 含水率 抗压强度 甲醛 外观 铅含量 酸碱度 硬度 厚度 菌落总数 绝缘电阻",
    "normal": "正常 未见异常 合格 符合 良好 阴性 无异常",
    "paytype": "自费 医保 转账 现金 电汇 月结 支票 微信 支付宝 货到付款",
    "vaccine": "乙肝疫苗 流感疫苗 百白破疫苗 麻疹疫苗",
    "specimen": "血清 尿液 咽拭子 全血 痰液",
    "currency": "人民币 美元 港币 欧元 CNY",
    "accounttype": "基本户 一般户 专用户 临时户 活期",
    "idtype": "身份证 护照 居民身份证 营业执照 军官证 户口簿",
    "delivery": "自取 邮寄 电子邮件 快递 柜台",
    "repay": "按月 年缴 等额本息 等额本金 一次性 按季",
    "guarantee": "抵押 保证 质押 信用",
    "level": "一级 二级 三级 甲级 普通 A级 B类 省级 国家级 校级 VIP 金卡 优秀 合格",
    "insurance": "重疾险 意外险 车险 养老保险 家财险 责任险",
    "cause": "追尾 暴雨 操作失误 地址变更 因病 意外摔倒 失火 信息录入错误",
    "office": "公安局出入境管理处 第一税务所 市公安局 城关派出所 行政审批局 市场监督管理局 税务局第二分局",
    "country": "中国 日本 美国 德国 韩国 泰国 法国 英国 加拿大 澳大利亚 新加坡 俄罗斯 马来西亚",
    "purpose": "旅游 探亲 商务 留学 参展 会议 考察",
    "visa": "旅游 商务 探亲 学生 F L M",
    "payer": "本人 公司 邀请方 父母",
    "transport": "公路 铁路 空运 海运 飞机 高铁 汽车 快递",
    "unit": "个 台 件 箱 套 千克 米 吨 只 mg/L 张 % 支",
    "use": "住宅 商铺 办公 仓储 商用",
    "cycle": "按月 按季 半年 押一付三",
    "housetype": "两室一厅 三室两厅 一室一厅 开间 四室两厅",
    "decor": "精装 简装 毛坯",
    "direction": "南 东南 南北 朝南 东西",
    "package": "纸箱 木箱 托盘 编织袋 散装",
    "trade": "一般贸易 来料加工 进料加工",
    "vehicle": "小型轿车 重型货车 中型客车 SUV 面包车 摩托车",
    "colour": "白 黑 银灰 红 蓝 白色 黑色 灰色 棕色",
    "use2": "非营运 营运 自用 公务 出租",
    "repair": "更换机油 四轮定位 更换刹车片 喷漆 空调维修",
    "fuel": "汽油 柴油 电 混合动力 天然气",
    "corptype": "有限责任公司 个体工商户 国有企业 民营 股份有限公司 事业单位 外资 合资",
    "industry": "制造业 批发零售 建筑业 软件 教育 物流 餐饮 农业 化工 医药",
    "tax": "增值税 企业所得税 房产税 印花税 个人所得税",
    "language": "汉语 英语 普通话 日语 法语 俄语",
    "subject": "办公费 差旅费 材料费 劳务费 设备费 会议费 印刷费 测试费 专家咨询费 货币资金 应收账款 存货 固定资产 短期借款",
    "roomtype": "单间 标间 合住 大床房 双人间",
    "talk": "口头报告 墙报 特邀报告",
    "diet": "无 素食 清真 不吃辣",
    "state": "完好 正常 密封 固态 液体 在用 报废 粉末",
    "qualified": "合格 合格 不合格 符合",
    "structure": "框架 砖混 钢结构 剪力墙 框剪",
    "part": "基础 主体 屋面 三层楼板 地下室 外墙 梁柱",
    "fund": "自筹 财政拨款 货币 银行贷款 实物 企业投入",
    "result": "论文 研究报告 专利 软件 样机",
    "work": "在职 无业 退休 灵活就业 在校",
    "study": "全日制 函授 自考 业余",
    "exam": "考试 考查 补考",
    "usage": "口服 静滴 外用 一日三次 饭后",
    "attend": "√ √ √ 迟到 请假 /",
    "certificate": "结业证 培训证 安全员证 会计初级证 教师资格证 无",
    "title": "工程师 高级工程师 讲师 副教授 教授 助理工程师 主治医师 经济师 无",
    "job": "会计 销售经理 软件工程师 教师 司机 护士 出纳 设计师 文员 客服 技术员 项目经理 采购员 行政助理 店长 工人 农民 个体 学生 董事长 总经理 主任 科长",
    "department": "财务部 人事部 销售部 研发部 行政部 市场部 生产部 技术科 质检部 办公室 采购部 工程部 客服部 教务处",
    "major": "会计学 软件工程 法学 临床医学 土木工程 英语 市场营销 机械设计 护理 材料科学 金融学 汉语言文学 环境工程 物流管理 电气自动化 应用化学 园林 统计学",
    "scope": "日用百货批发零售 软件开发及技术服务 餐饮服务 建筑工程施工 五金机电销售 服装加工 广告设计",
    "specialty": "书法",
}
"""Kinds of value that are drawn from a plain list."""

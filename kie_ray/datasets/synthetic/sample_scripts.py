"""The texts of the sample forms in `kie_ray/samples`: people, firms and numbers are invented.

A script is a title and steps. A field is `name=value`, fields of a row are separated by ` ; `, an empty value leaves the field
open. In a table the values of a column are separated by `|`.
"""

# ruff: noqa: E501  (texts of forms)
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """One page. `file`: name in the samples folder, `page` its page there. `steps`: (block, its text, option)."""

    file: str
    page: int
    language: str
    seed: int
    size: float
    level: str
    title: tuple[str, ...]
    steps: tuple[tuple[str, str, int], ...]
    family: str = "serif"
    value_family: str = "sans"
    ink: tuple[int, int, int] = (25, 35, 120)
    signed: tuple[tuple[str, str], ...] = ()
    """Signature keys and names of a Chinese page, in order."""
    date: str = ""
    """The date under them."""


SCRIPTS = (
    Script(
        "zh_job_application.jpg", 0, "zh", 11, 10.5, "light", ("应聘人员登记表",),
        (
            ("top", "编号=HR-20210418 ; 应聘职位=财务会计 ; 填表日期=2021年4月18日", 0),
            ("grid", "姓名=陈嘉远 ; 性别=男 ; 出生年月=1994.08\n民族=汉族 ; 籍贯=浙江绍兴 ; 政治面貌=群众\n学历=本科 ; 专业=会计学 ; 婚姻状况=未婚\n身高=176cm ; 体重=68kg ; 健康状况=良好", 4),
            ("grid", "身份证号码=330681199408152318 ; 联系电话=13857642190\n毕业院校=杭州财经学院 ; 毕业时间=2016年6月\n现住址=杭州市西湖区翠苑路216号3栋502室 ; 电子邮箱=chenjy94@126.com\n期望月薪=9000元 ; 到岗时间=2021年5月10日", 0),
            ("table", "教育经历#起止时间=2009.09-2012.06|2012.09-2016.06 ; 学校名称=绍兴第一中学|杭州财经学院 ; 专业=|会计学 ; 学历=高中|本科", 0),
            ("table", "工作经历#起止年月=2016.07-2018.12|2019.03-2021.03 ; 工作单位=杭州恒信贸易有限公司|浙江朝阳电子有限公司 ; 职务=出纳|会计 ; 离职原因=个人发展|合同到期 ; 证明人=周敏|何国强", 0),
            ("table", "家庭成员#姓名=陈志明|沈秀兰 ; 关系=父亲|母亲 ; 年龄=55|53 ; 工作单位=绍兴纺织厂|退休 ; 联系方式=13605752846|13758519073", 0),
            ("choices", "是否服从调剂#*是;否", 0),
            ("text", "自我评价#工作认真负责,熟悉会计核算、税务申报和财务软件操作,能独立完成月末结账与报表编制。善于沟通,具有较强的学习能力和团队精神,希望在贵公司长期发展。", 0),
            ("text", "本人承诺#以上所填内容均属实,如有虚假,本人愿意承担由此产生的一切后果。", 1),
            ("notes", "注:1.本表请用黑色签字笔填写,字迹清楚。2.请附身份证、学历证书复印件各一份。", 0),
        ),
        signed=(("本人签字", "陈嘉远"),), date="2021年4月18日",
    ),
    Script(
        "zh_account_opening.jpg", 0, "zh", 33, 10.5, "light", ("远航农村商业银行", "单位银行账户开户申请书"),
        (
            ("top", "申请日期=2020-09-16 ; 受理网点=滨河支行", 0),
            ("bar", "单位基本信息", 0),
            ("grid", "单位名称=苏州锦绣服装有限公司\n统一社会信用代码=91320506MA1WQ3K72T ; 成立日期=2017-03-08\n注册地址=苏州市吴中区东方大道1188号 ; 邮政编码=215128\n注册资金=500万元 ; 联系电话=0512-65287431\n经营范围=服装、服饰、纺织品的生产与销售", 0),
            ("bar", "法定代表人信息", 0),
            ("grid", "姓名=吴文斌 ; 证件类型=居民身份证\n证件号码=320504197911064235 ; 手机号码=13912784506", 0),
            ("bar", "账户信息", 0),
            ("choices", "账户性质#*基本户;一般户;专用户;临时户", 0),
            ("choices", "对账方式#邮寄;柜台;*电子对账", 0),
            ("choices", "开通网上银行#*是;否", 0),
            ("grid", "经办人=陆晓燕 ; 经办人电话=15862334879\n财务负责人=徐建平 ; 预留印鉴=公章、法人章\n备注=", 0),
            ("opinions", "银行审核意见=资料齐全,同意开户。 ; 申请单位意见=本单位承诺所提供的资料真实有效。", 2),
            ("notes", "说明:本申请书一式三份,开户银行、申请单位和人民银行当地分支行各留存一份。", 0),
        ),
        family="sans", value_family="serif", ink=(20, 20, 20), signed=(("经办人", "陆晓燕"), ("负责人签字", "吴文斌")), date="2020年9月16日",
    ),
    Script(
        "zh_health_check.png", 0, "zh", 21, 10.5, "none", ("青云市第二人民医院", "健康体检表"),
        (
            ("grid", "姓名=沈雨桐 ; 性别=女 ; 年龄=29\n体检编号=T20190327016 ; 体检日期=2019年3月27日\n工作单位=青云市明德实验小学 ; 联系电话=13676215084\n既往病史=无 ; 过敏史=青霉素过敏", 0),
            ("table", "一般检查#项目=身高|体重|血压|脉搏|体温 ; 结果=163|52.5|112/74|71|36.6 ; 单位=cm|kg|mmHg|次/分|℃ ; 医师签名=刘静|刘静|赵国平|赵国平|刘静", 0),
            ("table", "化验检查#检查项目=白细胞|血红蛋白|血小板|空腹血糖|谷丙转氨酶 ; 结果=5.82|128|236|4.9|17 ; 参考范围=3.5-9.5|115-150|125-350|3.9-6.1|7-40 ; 单项结论=正常|正常|正常|正常|正常", 0),
            ("grid", "视力左=5.0 ; 视力右=4.9 ; 色觉=正常\n听力=正常 ; 鼻咽=未见异常 ; 口腔=龋齿一颗\n心电图=窦性心律 ; 胸部透视=心肺膈未见异常", 0),
            ("choices", "体检结论#*合格;不合格;需复查", 0),
            ("text", "医师建议#各项检查结果在正常范围内。建议口腔科治疗龋齿,注意用眼卫生,适当增加体育锻炼,每年进行一次健康体检。", 1),
            ("notes", "注:本表仅供本次体检使用,涂改无效。", 0),
        ),
        family="serif", value_family="serif", ink=(20, 20, 20), signed=(("主检医师签名", "赵国平"),), date="2019年3月28日",
    ),
    Script(
        "zh_insurance_claim.jpg", 0, "zh", 58, 10.5, "strong", ("机动车辆保险索赔申请书",),
        (
            ("rows", "保单号=PDAA201832010000417|报案号=RDAA201832010002285|出险时间=2018年11月3日8:40 ; 被保险人=江海波|联系电话=18061937254|出险地点=南京市新源路与明珠街路口", 0),
            ("grid", "车牌号码=苏A7K2M9 ; 品牌型号=远程牌YC7180 ; 车身颜色=银灰\n驾驶人=江海波 ; 驾驶证号=320113198602174811 ; 准驾车型=C1\n发动机号=G8204417 ; 车架号=LYC7180B6H0031592", 0),
            ("choices", "事故类型#*单方事故;双方事故;多方事故", 0),
            ("choices", "事故责任#*全部;主要;同等;次要;无责", 0),
            ("text", "事故经过#本人驾车由东向西行驶至路口,因雨天路滑,避让行人时刹车不及,车辆右前部与路边护栏相撞,造成右前大灯、前保险杠及翼子板损坏,无人员受伤。", 0),
            ("table", "损失清单#序号=1|2|3|4 ; 配件名称=右前大灯|前保险杠|右前翼子板|喷漆工时 ; 数量=1|1|1|3 ; 单价=1280.00|960.00|540.00|300.00 ; 金额=1280.00|960.00|540.00|900.00", 0),
            ("grid", "定损金额=3680.00 ; 大写金额=叁仟陆佰捌拾元整\n开户银行=建设银行南京新源支行 ; 银行账号=6217001370004418263", 0),
            ("text", "声明#本人保证以上填写内容真实,如有隐瞒或虚假,保险公司有权拒绝赔付。", 1),
            ("opinions", "查勘员意见=情况属实,损失与事故吻合。 ; 理赔部门意见=同意按定损金额赔付。", 2),
        ),
        family="serif", value_family="sans", ink=(30, 40, 130), signed=(("申请人签名", "江海波"), ("查勘员", "林晓峰"), ("负责人签字", "周文杰")), date="2018年11月5日",
    ),
    Script(
        "en_fax_memo.jpg", 0, "en", 3, 10.5, "strong", ("LAKESIDE PACKAGING COMPANY", "FACSIMILE TRANSMITTAL SHEET"),
        (
            ("rows", "TO:=Margaret Hollis|COMPANY:=Cardinal Foods, Inc.|FAX NUMBER:=(414) 555-0176|SUBJECT:=Revised carton artwork ; FROM:=D. R. Fitzgerald|DATE:=March 14, 1994|PHONE:=(414) 555-0132|PAGES:=3", 0),
            ("choices", "Priority#Urgent;*For Review;Please Reply", 0),
            ("section", "ORDER DETAILS#Job No.:=94-2187|Product:=Corn cereal 15 oz carton|Quantity:=120,000|Ink Colors:=4 + varnish ; Buyer:=J. Kowalski|Press Date:=March 28, 1994|Ship Via:=Yellow Freight|Unit Price:=$0.0875", 0),
            ("text", "Message:#Margaret, attached are the revised panels for the side of the carton. Please note the change in the net weight statement and the new bar code position. We need your written approval by Friday in order to keep the press date. The die line has not changed from the last run.", 0),
            ("table", "SHIPPING SCHEDULE#Plant=Racine|Dayton|Tulsa ; Cartons=48,000|40,000|32,000 ; Ship Date=4/05/94|4/07/94|4/11/94 ; Truck No.=R-118|D-204|T-077", 0),
            ("signatures", "Reviewed By=D. R. Fitzgerald,3/14/94 ; Marketing=Ellen Brooks,3/14/94", 0),
            ("notes", "If you do not receive all pages, please call the number above as soon as possible. This message is intended only for the addressee and may contain confidential information.", 0),
        ),
        family="sans", value_family="mono", ink=(20, 20, 20),
    ),
    Script(
        "en_purchase_order.png", 0, "en", 17, 10.5, "none", ("PURCHASE ORDER",),
        (
            ("rows", "Purchase Order No.:=PO-40716|Order Date:=06/12/2003|Requisition No.:=R-2291|Terms:=Net 30 ; Vendor:=Summit Laboratories, Inc.|Vendor No.:=008143|Ship Via:=Ground|Buyer:=Helen M. Weaver", 0),
            ("section", "DELIVERY#Ship To:=Harbor Research Center|Address:=2450 Mill Road, Durham, NC 27713|Attention:=Receiving Dock B ; Bill To:=Accounts Payable|Cost Center:=7730-15|Delivery Date:=06/27/2003", 0),
            ("table", "ORDER LINES#Item=1|2|3|4|5 ; Description=Filter paper 9 cm|Acetone, HPLC grade|Nitrile gloves, medium|Glass vials 20 ml|Pipette tips 200 ul ; Quantity=40|12|25|10|30 ; Unit=box|4 L|box|case|rack ; Unit Price=$8.40|$46.25|$11.90|$72.00|$9.75 ; Amount=$336.00|$555.00|$297.50|$720.00|$292.50", 0),
            ("rows", "Subtotal:=$2,201.00|Sales Tax:=$154.07|Freight:=$38.50|Total Amount:=$2,393.57 ; Authorized By:=R. Nakamura|Title:=Purchasing Manager|Phone:=919-555-0148|Date:=06/12/2003", 0),
            ("choices", "Partial Shipment#*Accepted;Not Accepted", 0),
            ("text", "Special Instructions:#Mark all packages with the purchase order number. Acetone must be shipped separately as hazardous material. Call the buyer before delivery if any item is on back order.", 0),
            ("notes", "Invoices without a purchase order number will be returned. Prices are firm for thirty days.", 0),
        ),
        family="serif", value_family="serif", ink=(20, 20, 20),
    ),
    Script(
        "en_product_test.pdf", 0, "en", 8, 10.5, "light", ("PRODUCT TEST REQUEST",),
        (
            ("rows", "Test No.:=88-311|Date Requested:=September 6, 1988|Requested By:=C. L. Graham|Department:=Brand Research ; Project:=Harvest Cracker|Date Required:=October 14, 1988|Approved By:=Ruth Palmer|Budget:=$18,500", 0),
            ("section", "SAMPLE DESCRIPTION#Control Product:=Current recipe, lot 2207|Test Product:=Reduced salt, lot 2219|Package:=8 oz box, white label|Sample Size:=240 respondents", 0),
            ("choices", "Type of Test#Monadic;*Paired Comparison;In-home Use", 0),
            ("text", "Objective:#To determine whether the reduced salt recipe is at least equal to the current product in overall liking among regular users of salted crackers.", 0),
            ("text", "Action Standard:#The test product will be recommended for launch if preference is not significantly below fifty percent at the ninety percent confidence level.", 0),
            ("table", "FIELD SCHEDULE#Market=Columbus, OH|Omaha, NE|Tampa, FL ; Start=9/19/88|9/21/88|9/26/88 ; End=9/30/88|10/3/88|10/7/88 ; Interviews=80|80|80 ; Cost=$6,100|$5,900|$6,500", 0),
            ("signatures", "Requested By=C. L. Graham,9/6/88 ; Approved By=Ruth Palmer,9/8/88 ; Finance=T. Wagner,9/12/88", 0),
        ),
        family="mono", value_family="mono", ink=(20, 20, 20),
    ),
    Script(
        "en_product_test.pdf", 1, "en", 30, 10.5, "light", ("PRODUCT TEST RESULTS",),
        (
            ("rows", "Test No.:=88-311|Analyst:=P. Lindqvist ; Report Date:=October 21, 1988|Page:=2 of 2", 0),
            ("table", "PANEL SCORES#Attribute=Overall liking|Flavor|Crispness|Saltiness|Aftertaste|Appearance ; Control=6.42|6.31|6.88|5.97|6.05|6.70 ; Test=6.38|6.10|6.91|5.12|6.11|6.74 ; Difference=-0.04|-0.21|+0.03|-0.85|+0.06|+0.04", 0),
            ("section", "PREFERENCE#Prefer Control:=46%|Prefer Test:=44%|No Preference:=10% ; Base:=238|Confidence Level:=90%|Significant:=No", 0),
            ("text", "Conclusions:#The reduced salt product is at parity with the current recipe in overall liking and preference. Lower saltiness was noticed but did not reduce acceptance.", 0),
            ("text", "Recommendation:#Proceed with the reduced salt recipe. Confirm shelf life before the national launch.", 0),
            ("notes", "Statistical tables are on file in Brand Research. Distribution: C. Graham, R. Palmer, Quality Control.", 0),
            ("signatures", "Prepared By=P. Lindqvist,10/21/88 ; Reviewed By=Ruth Palmer,10/24/88", 0),
        ),
        family="mono", value_family="mono", ink=(20, 20, 20),
    ),
)  # fmt: skip

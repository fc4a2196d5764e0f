"""English vocabulary of the form generator: field names by domain, sections, tables, choices, names.

All lists were written for this project; no annotated data set was copied. A field is `name/kind`; the kinds are the
methods of `values_en.ValuesEn`. Fields are separated by `;`.
"""

# fmt: off
# ruff: noqa: E501  (word lists: a line a topic; CJK characters count double)
from __future__ import annotations

Field = tuple[str, str]
"""Field name, kind of its value."""


def _fields(text: str) -> list[Field]:
    pairs = (item.strip().rsplit("/", 1) for item in text.split(";") if item.strip())
    return [(name, kind) for name, kind in pairs]


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(";") if item.strip()]


DOMAINS: dict[str, list[Field]] = {
    "memo": _fields(
        "To/people;From/person;Date/date;Subject/subject;cc/people;Re/subject;Company/company;Department/department;Location/place;"
        "Phone/phone;Fax/phone;Fax Number/phone;Pages/small;Number of Pages/small;Attention/person;Reference/code;File No./code;Time/time;"
        "Telephone No./phone;Sent By/person;Operator/person;Extension/ext;Priority/level;Reply Requested By/date;Message/phrase"
    ),
    "product test": _fields(
        "Test No./code;Product/product;Brand/brand;Sample Size/quantity;Panel/region;Test Method/testtype;Type of Test/testtype;Objective/phrase;"
        "Requested By/person;Date Requested/date;Date Required/date;Market/place;Field Dates/period;Supplier/company;Batch Size/weight;"
        "Sample No./code;Formula Code/code;Length/length;Circumference/length;Moisture/percent;Weight/weight;Flavor/flavor;Blend/code;"
        "Packaging/package;Label Color/colour;Control Product/product;Respondents/quantity;Project Leader/person;Results Due/date;Budget/money;"
        "Pressure Drop/measure;Tip Length/length;Paper/code;Casing/code;Analyst/person;Notebook Page/small;Temperature/temperature"
    ),
    "lab": _fields(
        "Laboratory/company;Study No./code;Compound/chemical;CAS No./cas;Species/species;Dose Level/dose;Route/route;Duration/days;Sponsor/company;"
        "Study Director/person;Start Date/date;Completion Date/date;Report Date/date;Solvent/chemical;Concentration/dose;Purity/percent;"
        "Lot Number/code;Storage Conditions/storage;Appearance/colour;Boiling Point/temperature;Molecular Weight/decimal;Result/result;"
        "Technician/person;Instrument/instrument;Serial No./code;Protocol/code;Assay/testtype;Vehicle/chemical;Reviewed By/person;Density/decimal"
    ),
    "purchase": _fields(
        "Purchase Order No./code;Vendor/company;Vendor No./number;Ship To/address;Bill To/address;Terms/terms;Buyer/person;Order Date/date;"
        "Delivery Date/date;F.O.B./place;Ship Via/carrier;Quantity/quantity;Unit Price/money;Total Amount/money;Sales Tax/money;Freight/money;"
        "Requisition No./code;Account No./number;Cost Center/number;Approved By/person;Received By/person;Invoice No./code;Invoice Date/date;"
        "Amount Due/money;Discount/percent;Customer No./number;Item Description/product;Contract No./code;Subtotal/money;Balance Due/money"
    ),
    "employment": _fields(
        "Last Name/surname;First Name/given;Middle Initial/initial;Social Security No./ssn;Date of Birth/date;Address/address;City/city;State/state;"
        "Zip Code/zip;Home Phone/phone;Position Applied For/job;Salary Desired/money;Date Available/date;Present Employer/company;Supervisor/person;"
        "Reason for Leaving/phrase;Years of Experience/small;Education/degree;School/school;Major/major;Degree/degree;Citizenship/country;"
        "Driver License No./code;Referred By/person;Marital Status/marital;Emergency Contact/person;Relationship/relation;E-mail/email;"
        "Hourly Rate/money;Employee No./number;Shift/shift;Job Title/job;Hire Date/date;Department/department;Termination Date/date;Skills/phrase"
    ),
    "medical": _fields(
        "Patient Name/person;Patient ID/code;Date of Visit/date;Physician/doctor;Diagnosis/illness;Height/height;Weight/weight;Blood Pressure/pressure;"
        "Pulse/pulse;Allergies/none;Medication/drug;Dosage/dose;Insurance Company/company;Policy No./code;Group No./number;Referring Physician/doctor;"
        "Ward/code;Hospital/hospital;Symptoms/phrase;Age/age;Sex/sex;Next of Kin/person;Admitted/date;Discharged/date;Temperature/temperature;"
        "Follow-up Date/date;Pharmacy/company;Immunization/drug;Specimen/specimen;Occupation/job"
    ),
    "insurance": _fields(
        "Policy Number/code;Policyholder/person;Insured/person;Claimant/person;Claim No./code;Date of Loss/date;Location of Loss/place;"
        "Cause of Loss/phrase;Amount Claimed/money;Deductible/money;Agent/person;Agency/company;Effective Date/date;Expiration Date/date;Premium/money;"
        "Coverage/coverage;Beneficiary/person;Adjuster/person;Witness/person;Police Report No./code;Vehicle Make/vehicle;Year/year;License Plate/plate;"
        "Estimated Damage/money;Date Reported/date;Limit of Liability/money"
    ),
    "bank": _fields(
        "Account Name/company;Account Number/number;Branch/city;Routing Number/number;Account Type/account;Opening Deposit/money;Tax ID/ssn;"
        "Authorized Signer/person;Title/job;Loan Amount/money;Interest Rate/percent;Term/years;Purpose of Loan/phrase;Collateral/product;"
        "Annual Income/money;Monthly Rent/money;Employer/company;Payee/company;Check No./number;Amount/money;Memo/phrase;Currency/currency;"
        "Beneficiary Bank/bank;Swift Code/code;Transfer Date/date;Co-Applicant/person;Credit Limit/money"
    ),
    "shipping": _fields(
        "Shipper/company;Consignee/company;Carrier/carrier;Bill of Lading No./code;Origin/place;Destination/place;Port of Loading/city;"
        "Port of Discharge/city;Vessel/ship;Voyage No./code;Container No./code;Seal No./code;Gross Weight/weight;Net Weight/weight;Volume/volume;"
        "No. of Packages/quantity;Marks and Numbers/code;Freight Charges/money;Date Shipped/date;Tracking No./number;Pickup Time/time;Driver/person;"
        "Truck No./code;Declared Value/money;Country of Origin/country;Received in Good Order/yesno;Export License/code"
    ),
    "lease": _fields(
        "Landlord/company;Tenant/person;Premises/address;Lease Term/years;Commencement Date/date;Monthly Rent/money;Security Deposit/money;"
        "Permitted Use/phrase;Square Footage/area;Utilities/phrase;Parking Space/code;Broker/company;Renewal Option/years;Late Fee/money;"
        "Notice Address/address;Guarantor/person;Unit No./code;Number of Occupants/small;Pets/yesno;Move-in Date/date"
    ),
    "vehicle": _fields(
        "Owner/person;Make/vehicle;Model/code;Year/year;Color/colour;VIN/vin;License No./plate;Odometer/quantity;Engine No./code;Fuel Type/fuel;"
        "Registration Date/date;Work Requested/phrase;Labor/money;Parts/money;Mechanic/person;Estimated Cost/money;Date In/date;Date Out/date;"
        "Warranty/yesno;Inspection Due/date;Service Advisor/person"
    ),
    "tax": _fields(
        "Taxpayer Name/person;Taxpayer ID/ssn;Filing Status/marital;Tax Year/year;Gross Income/money;Taxable Income/money;Tax Withheld/money;"
        "Refund Due/money;Dependents/small;Deductions/money;Preparer/person;Firm/company;Spouse/person;Exemptions/small;Interest Income/money;"
        "Dividends/money;Business Name/company;Business Code/number;Penalty/money;Total Payments/money;County/place"
    ),
    "expense": _fields(
        "Employee/person;Employee ID/number;Department/department;Period Covered/period;Purpose of Trip/phrase;Destination/place;Air Fare/money;"
        "Hotel/money;Meals/money;Mileage/quantity;Entertainment/money;Miscellaneous/money;Total Expenses/money;Less Advance/money;"
        "Due Employee/money;Account Code/number;Project No./code;Approved By/person;Date Submitted/date;Receipts Attached/yesno;Car Rental/money"
    ),
    "conference": _fields(
        "Name/person;Affiliation/company;Badge Name/given;Title of Paper/subject;Author/person;Session/code;Arrival Date/date;Departure Date/date;"
        "Hotel/hotel;Registration Fee/money;Dietary Needs/phrase;Guest Name/person;Method of Payment/pay;Card Number/number;Expiration/monthyear;"
        "Abstract No./code;Presenter/person;Meeting/event;Place/place;Chairman/person;Attendees/people;Equipment Needed/instrument"
    ),
    "advertising": _fields(
        "Client/company;Agency/company;Advertiser/company;Product/product;Publication/journal;Issue Date/date;Space/space;Color/colour;Caption/subject;"
        "Circulation/quantity;Job No./code;Closing Date/date;Cost/money;Headline/subject;Media/media;Campaign/event;Station/station;Length of Spot/seconds;"
        "Estimate No./code;Contact/person;Account Executive/person;Art Director/person;Coupon Value/money;Distribution/quantity;Region/region;"
        "Division/region;Manager/person;Store Name/company;Store Address/address;Chain/company;Display Type/media;Start Date/date;End Date/date;"
        "Volume/quantity;Competitor/company;Promotion/event;Rep Name/person;Territory/region"
    ),
    "legal": _fields(
        "Case Name/case;Docket No./code;Court/court;Judge/person;Plaintiff/person;Defendant/company;Attorney/person;Law Firm/company;Date Filed/date;"
        "Trial Date/date;Jurisdiction/state;Status/status;Amount in Controversy/money;Document Type/doctype;Bates Range/bates;Author/person;"
        "Recipient/person;Custodian/person;Box No./number;Request No./small;Date Produced/date;Privilege/yesno"
    ),
    "project": _fields(
        "Project Title/subject;Project No./code;Principal Investigator/doctor;Institution/school;Period of Support/period;Amount Requested/money;"
        "Amount Approved/money;Grant No./code;Start Date/date;Termination Date/date;Progress/phrase;Co-Investigator/doctor;Funding Source/company;"
        "Indirect Costs/money;Equipment/instrument;Supplies/money;Travel/money;Status/status;Percent Complete/percent;Next Review/date;Sponsor/company"
    ),
    "membership": _fields(
        "Member Name/person;Member No./number;Class of Membership/level;Dues/money;Chapter/city;Occupation/job;Business Address/address;"
        "Mailing Address/address;Sponsor/person;Date of Application/date;Interests/phrase;Date Joined/date;Birthday/date;Telephone/phone;Club/event;"
        "Years Active/small;Office Held/job;Newsletter/yesno;Contribution/money;Spouse Name/person"
    ),
}
PERSONS = _items(
    "Applicant;Employee;Customer;Contact;Patient;Student;Parent;Owner;Buyer;Seller;Manager;Supervisor;Vendor;Sender;Recipient;Physician;"
    "Agent;Borrower;Tenant;Member;Sponsor;Author;Account Manager;Project Leader;Emergency Contact;Spouse;Witness;Guardian;Client;Requester"
)
PERSON_FIELDS = _fields(
    "Name/person;Address/address;Phone/phone;Telephone No./phone;Title/job;Signature/person;Date/date;ID No./code;E-mail/email;Fax/phone;"
    "Company/company;Initials/initials;Comments/phrase;Location/place;Department/department"
)
SIGNATURES = _items(
    "Approved By;Submitted By;Prepared By;Signature;Authorized Signature;Requested By;Reviewed By;Director;Manager;Supervisor;Signed;Originator;"
    "Applicant's Signature;Checked By;Received By;Accepted;Witness;Vice President;Marketing;Legal;Finance;Research;Quality Assurance;Controller"
)
SECTIONS = _items(
    "GENERAL INFORMATION;PERSONAL DATA;PRODUCT INFORMATION;TEST CONDITIONS;SAMPLE DESCRIPTION;SHIPPING INSTRUCTIONS;ACCOUNT INFORMATION;"
    "EMPLOYMENT HISTORY;APPROVALS;DISTRIBUTION;SPECIFICATIONS;BUDGET SUMMARY;MEDICAL HISTORY;CLAIM DETAILS;METHOD OF PAYMENT;FOR OFFICE USE ONLY;"
    "EQUIPMENT;MATERIALS;SCHEDULE;COMPETITIVE ACTIVITY;SALES RESULTS;LABORATORY ANALYSIS;SPECIAL REQUIREMENTS;RESPONSIBILITY;Projected Costs;"
    "Summary of Findings;Physical Properties;Part A - Identification;Part B - Particulars;Section I;Section II;Section III;COVER SHEET;EDUCATION;"
    "REFERENCES;Vehicle Data;Travel Details;Contract Terms;Media Plan;Reports;Filters;Packing;INSPECTION;Toxicity Data;Fire and Explosion Data"
)
LONG_TEXTS = _items(
    "Comments;Remarks;Description;Objective;Background;Recommendation;Purpose;Special Instructions;Conclusions;Summary;Reason for Request;Scope of Work;"
    "Method;Results;Discussion;Action Taken;Suggestion;Action Standards;Notes;Justification;Additional Information;Observations;Explanation;Message;"
    "Description of Accident;Next Steps;Statement of Problem;Manager Comments;Terms and Conditions;Effectiveness;Proposed Solution;Key Issues"
)
TABLES: list[tuple[str, list[Field]]] = [
    ("Order Details", _fields("Item/serial;Description/product;Quantity/quantity;Unit/unit;Unit Price/money;Amount/money;Code/code")),
    ("Budget", _fields("Category/category;Original/money;Revised/money;Change/money;Actual/money;Total/money")),
    ("Test Results", _fields("Sample/code;Moisture/decimal;Weight/decimal;Result/result;Date/date;Tar/decimal;Puffs/decimal;Nicotine/decimal")),
    ("Panel Scores", _fields("Attribute/attribute;Control/decimal;Test/decimal;Difference/decimal;Significance/percent")),
    ("Employment", _fields("Employer/company;From/monthyear;To/monthyear;Position/job;Salary/money;Reason for Leaving/phrase4")),
    ("Education", _fields("School/school;Years Attended/period;Degree/degree;Major/major")),
    ("Media Schedule", _fields("Publication/journal;Issue Date/date;Space/space;Cost/money;Circulation/quantity")),
    ("Expenses", _fields("Date/date;Location/place;Transportation/money;Lodging/money;Meals/money;Other/money;Total/money")),
    ("Personnel", _fields("Name/person;Title/job;Phone/phone;Department/department;Percent Effort/percent")),
    ("Shipments", _fields("Date Shipped/date;Carrier/carrier;Cartons/quantity;Weight/weight;Destination/place")),
    ("Supplier Quotes", _fields("Supplier/company;Cost/money;Travel/money;Total Cost/money;Cost per Interview/money")),
    ("Store Report", _fields("Store/company;City/city;Brand/brand;Price/money;Volume/quantity;Display/yesno")),
    ("Composition", _fields("Ingredient/chemical;Percent/percent;CAS No./cas;Supplier/company;Lot/code")),
    ("Medication", _fields("Drug/drug;Dose/dose;Start/date;Stop/date;Physician/doctor")),
    ("Distribution List", _fields("Name/person;Company/company;Copies/small;Sent/date")),
]
CHOICES: list[tuple[str, str]] = [
    ("Sex", "Male;Female"), ("Urgent", "Yes;No"), ("Marital Status", "Single;Married;Divorced"), ("Method of Payment", "Check;Cash;Credit Card;Money Order"),
    ("Type of Request", "New;Revision;Cancellation"), ("Priority", "High;Medium;Low"), ("Reply Needed", "Yes;No"), ("Classification", "Public;Internal;Confidential"),
    ("Shipping Method", "Air;Ground;Overnight;Will Call"), ("Account Type", "Checking;Savings;Loan"), ("Original to Follow", "By Mail;Will Not Follow"),
    ("Effectiveness", "Excellent;Good;Fair;Poor"), ("Coverage", "Full;Partial;None"), ("Disposition", "Approved;Rejected;Hold for Review"),
    ("Package Type", "Soft Pack;Box;Carton"), ("Sample Condition", "Good;Damaged;Leaking"), ("Attachment", "Yes;No"), ("Color", "Black & White;Two Color;Four Color"),
    ("Frequency", "Daily;Weekly;Monthly;Yearly"), ("Room", "Single;Double;Suite"), ("Prior Illness", "Yes;No;Unknown"), ("Status", "Open;Closed;Pending"),
    ("Vehicle Use", "Business;Pleasure;Farm"), ("Display", "Counter;Floor;Window"), ("Copy", "File;Legal;Accounting;Originator"),
]
QUESTIONS = _items(
    "Have you contacted your supervisor?;Is this a repeat order?;Has the product been tested before?;Do you currently use this brand?;"
    "Were there any injuries?;Is additional funding required?;Did the panel complete all questions?;May we contact your present employer?;"
    "Is the equipment under warranty?;Does the change affect the label?;Are receipts attached?;Would you buy this product again?;"
    "Has legal review been completed?;Is the store part of a chain?;Will samples be returned?"
)
TITLES_A = _items(
    "Employee;Customer;Product;Sample;Purchase;Research;Laboratory;Project;Vendor;Travel;Claim;Account;Equipment;Market;Media;Sales;Quality;"
    "Shipping;Safety;Contract;Budget;Field;Store;Membership;Patient;Test;Document;Special Event;Retail;Personnel;Engineering;Advertising"
)
TITLES_B = _items(
    "Request Form;Authorization;Report;Application;Order;Information Sheet;Change Notice;Progress Report;Approval Form;Evaluation;Requisition;"
    "Transmittal;Summary;Registration;Questionnaire;Record;Inspection Report;Data Sheet;Suggestion Form;Invoice;Release;Check List;Agreement;Schedule"
)
TITLES_WHOLE = _items(
    "MEMORANDUM;INTEROFFICE MEMORANDUM;FACSIMILE TRANSMISSION;FAX COVER SHEET;FAX TRANSMITTAL;TELECOPY COVER SHEET;INVOICE;PURCHASE ORDER;"
    "MATERIAL SAFETY DATA SHEET;EXPENSE REPORT;ROUTING SLIP;SPEED MESSAGE;CHECK REQUEST;CREDIT MEMO;PACKING LIST;TELEPHONE MESSAGE"
)
CITIES = _items(
    "Richmond;Louisville;Greensboro;New York;Chicago;Atlanta;Boston;Denver;Seattle;Portland;Dallas;Houston;Tampa;Columbus;Cleveland;Newark;Omaha;"
    "St. Louis;Memphis;Nashville;Raleigh;Durham;Macon;Phoenix;San Diego;Oakland;Detroit;Milwaukee;Albany;Buffalo;Hartford;Trenton;Dover;Toledo;"
    "Geneva;London;Toronto;Montreal;Hamburg;Zurich;Winnipeg;Savannah;Mobile;Tulsa;Wichita;Boise;Fresno;Spokane;Dayton;Akron"
)
STATES = _items("VA;KY;NC;NY;IL;GA;MA;CO;WA;OR;TX;FL;OH;NJ;NE;MO;TN;AZ;CA;MI;WI;CT;DE;AL;OK;KS;ID;PA;MD;SC")
SURNAMES = _items(
    "Smith;Johnson;Miller;Davis;Wilson;Anderson;Taylor;Thomas;Moore;Martin;Thompson;White;Harris;Clark;Lewis;Robinson;Walker;Young;Allen;King;Wright;"
    "Scott;Hill;Green;Adams;Baker;Nelson;Carter;Mitchell;Roberts;Turner;Phillips;Parker;Evans;Edwards;Collins;Stewart;Morris;Murphy;Cook;Rogers;"
    "Morgan;Cooper;Peterson;Reed;Bailey;Bell;Kelly;Howard;Ward;Cox;Richardson;Wood;Watson;Brooks;Bennett;Gray;Hughes;Price;Myers;Long;Foster;"
    "Sanders;Ross;Powell;Sullivan;Russell;Ortiz;Jenkins;Perry;Butler;Barnes;Fisher;Henderson;Coleman;Simmons;Patterson;Jordan;Reynolds;Hamilton;"
    "Graham;Wallace;Woods;Cole;West;Owens;Ellis;Dixon;Hunt;Hicks;Holmes;Palmer;Wagner;Black;Boyd;Rose;Stone;Fox;Warren;Mills;Meyer;Rice;Schmidt;"
    "Garza;Daniels;Ferguson;Nichols;Stephens;Weaver;Ryan;Spencer;Greenwood;Lindqvist;Kowalski;Petrov;Nakamura;Okafor;Fitzgerald;Delacroix;Hofmann"
)
GIVEN = _items(
    "James;Mary;John;Patricia;Robert;Jennifer;Michael;Linda;William;Barbara;David;Susan;Richard;Karen;Joseph;Nancy;Charles;Lisa;Daniel;Betty;Matthew;"
    "Helen;Anthony;Sandra;Mark;Donna;Paul;Carol;Steven;Ruth;Andrew;Sharon;Kenneth;Michelle;George;Laura;Edward;Sarah;Brian;Deborah;Ronald;Jessica;"
    "Kevin;Shirley;Gary;Cynthia;Larry;Angela;Frank;Melissa;Scott;Brenda;Eric;Amy;Stephen;Anna;Raymond;Virginia;Gregory;Pamela;Walter;Martha;Peter;"
    "Debra;Harold;Amanda;Douglas;Stephanie;Henry;Carolyn;Arthur;Christine;Albert;Marie;Roger;Janet;Ralph;Catherine;Louis;Frances;Russell;Ann;Philip"
)
LISTS: dict[str, str] = {
    "level": "High|Medium|Low|Normal|Regular|Associate|A|B",
    "testtype": "Monadic|Paired comparison|Blind|In-home use|Ames|Shelf life|Descriptive|HPLC|GC/MS|Triangle",
    "product": "Copy paper|Filter rods|Adhesive tape|Instant coffee|Soap bar|Desk lamp|Steel shelving|Corn syrup|Printed cartons|Safety gloves|Menthol flavor|Toner cartridge|Typewriter ribbon|Floor wax|Laser printer|Cereal|Soft drink|Tissue|Canned soup|Shampoo|Batteries|Display rack|Carbon filters|Snack crackers|Light bulbs",
    "flavor": "Menthol|Regular|Spearmint|Vanilla|Cocoa|None|Lemon",
    "package": "Soft pack|Box|Carton|Crush proof|Bulk",
    "colour": "White|Blue|Red|Green|Black|Brown liquid|Gold|Gray|Silver|Yellow|4 color|B/W",
    "chemical": "Ethanol|Acetone|Propylene glycol|Sorbitol|Glycerol|Citric acid|Toluene|Sodium benzoate|Methanol|Water|Potassium carbonate|Benzene|Hexane|Ammonia",
    "species": "Rat|Mouse|Rabbit|Dog|Guinea pig|Hamster",
    "route": "Oral|Dermal|Inhalation|Intravenous",
    "storage": "Room temperature|Refrigerate|Dry place|Freezer",
    "result": "Pass|Fail|Negative|Positive|Within limits|Not detected|N/A|OK|Acceptable",
    "instrument": "Gas chromatograph|Balance|Slide projector|Microscope|pH meter|Overhead projector|Spectrometer",
    "terms": "Net 30|Net 10|2% 10 days|C.O.D.|Prepaid",
    "carrier": "UPS|Federal Express|Airborne|Truck|Rail|Yellow Freight|Parcel Post|DHL",
    "job": "Manager|Sales Representative|Secretary|Chemist|Engineer|Vice President|Clerk|Director|Analyst|Accountant|Nurse|Driver|Machine Operator|Buyer|Brand Manager|Research Scientist|Teacher|Foreman|President",
    "marital": "Single|Married|Divorced|Widowed",
    "relation": "Wife|Husband|Father|Mother|Brother|Friend",
    "shift": "First|Second|Third|Day|Night",
    "degree": "B.S.|M.S.|Ph.D.|B.A.|M.B.A.|High School|A.A.",
    "major": "Chemistry|Biology|Accounting|Marketing|Economics|English|Physics|Nursing",
    "none": "None|N/A|-|NONE|n/a",
    "illness": "Hypertension|Asthma|Bronchitis|Fracture|Diabetes|Migraine|Influenza",
    "drug": "Aspirin|Penicillin|Ibuprofen|Insulin|Amoxicillin|Codeine",
    "sex": "M|F|Male|Female",
    "department": "Marketing|Sales|Research|Legal|Purchasing|Engineering|Quality Control|Finance|Personnel|Accounting|Manufacturing|R&D|Public Affairs|Data Processing",
    "coverage": "Full|Liability|Collision|Fire|Comprehensive",
    "account": "Checking|Savings|Business|Trust",
    "currency": "USD|US $|Pounds|DM",
    "yesno": "Yes|No|YES|NO|Y|N|X",
    "unit": "ea|lb|box|case|doz|M|ctn|gal|kg",
    "fuel": "Gasoline|Diesel|Electric",
    "pay": "Check|Visa|Cash|Money order|American Express",
    "media": "Magazine|Newspaper|Counter card|Billboard|Radio|Floor display|Direct mail|Point of sale",
    "space": "1 page 4C|2/3 page|Spread|Back cover|1/2 page B/W",
    "station": "WABC|KNBC|WTVR|WGN|KXAS",
    "seconds": ":30|:60|:10|30 seconds",
    "region": "Northeast|Southeast|Midwest|West|Region 4|District 12|South Central|Area 3",
    "status": "Open|Closed|Pending|In progress|Completed|Filed|On hold",
    "doctype": "Letter|Memo|Report|Form|Chart|Telex",
    "country": "USA|U.S.A.|Canada|Germany|Mexico|Japan|Brazil|Switzerland",
    "category": "Salaries|Supplies|Travel|Equipment|Postage|Consulting|Overhead|Printing|Media|Production|Sampling|Field work",
    "attribute": "Strength|Flavor|Smoothness|Aftertaste|Overall liking|Draw|Harshness|Freshness|Aroma|Burn rate|Appearance|Irritation",
    "specimen": "Blood|Urine|Tissue|Serum",
    "vehicle": "Ford|Chevrolet|Dodge|Toyota|Buick|Honda|Plymouth",
    "initials": "JRS|DK|wt|LMB|ac",
    "initial": "A.|J|M.|R.|T",
}
"""Kinds of value that are drawn from a plain list."""

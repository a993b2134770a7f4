package seed

// The catalogue holds what members suffer from and what is done about it. Text is our own or the plain name of the code.

type medication struct {
	rxnorm, name string
	days, count  int // supply of one fill
	cents        int // ingredient cost of one fill
	brand        bool
	product      string // the middle of the NDC
}

const (
	medLisinopril = iota
	medAmlodipine
	medLosartan
	medMetformin
	medGlargine
	medAtorvastatin
	medLevothyroxine
	medAlbuterol
	medFluticasone
	medAmoxicillin
	medAzithromycin
	medIbuprofen
	medOmeprazole
	medSertraline
	medEscitalopram
	medGabapentin
	medPrednisone
	medBuprenorphine
	medNaltrexone
	medAntiretroviral
	medCeftriaxone
	medWarfarin
	medFurosemide
	medCyclobenzaprine
	medLoratadine
	medOlanzapine
	medAdalimumab
	medSumatriptan
)

var medications = [...]medication{
	medLisinopril:      {"314076", "lisinopril 10 MG Oral Tablet", 30, 30, 640, false, "0101"},
	medAmlodipine:      {"197361", "amlodipine 5 MG Oral Tablet", 30, 30, 720, false, "0102"},
	medLosartan:        {"979492", "losartan potassium 50 MG Oral Tablet", 30, 30, 980, false, "0103"},
	medMetformin:       {"861007", "metformin hydrochloride 500 MG Oral Tablet", 30, 60, 850, false, "0104"},
	medGlargine:        {"285018", "insulin glargine 100 UNT/ML Injectable Solution", 28, 10, 28400, true, "0105"},
	medAtorvastatin:    {"617310", "atorvastatin 20 MG Oral Tablet", 90, 90, 1890, false, "0106"},
	medLevothyroxine:   {"966224", "levothyroxine sodium 0.05 MG Oral Tablet", 90, 90, 2140, false, "0107"},
	medAlbuterol:       {"745679", "albuterol 0.09 MG/ACTUAT Metered Dose Inhaler", 25, 1, 5420, true, "0108"},
	medFluticasone:     {"895994", "fluticasone propionate 0.11 MG/ACTUAT Inhaler", 30, 1, 21350, true, "0109"},
	medAmoxicillin:     {"308191", "amoxicillin 500 MG Oral Capsule", 10, 30, 560, false, "0110"},
	medAzithromycin:    {"308460", "azithromycin 250 MG Oral Tablet", 5, 6, 1130, false, "0111"},
	medIbuprofen:       {"197806", "ibuprofen 600 MG Oral Tablet", 10, 30, 690, false, "0112"},
	medOmeprazole:      {"198053", "omeprazole 20 MG Delayed Release Oral Capsule", 30, 30, 910, false, "0113"},
	medSertraline:      {"312941", "sertraline 50 MG Oral Tablet", 30, 30, 870, false, "0114"},
	medEscitalopram:    {"349332", "escitalopram 10 MG Oral Tablet", 30, 30, 950, false, "0115"},
	medGabapentin:      {"310431", "gabapentin 300 MG Oral Capsule", 30, 90, 1460, false, "0116"},
	medPrednisone:      {"312615", "prednisone 20 MG Oral Tablet", 5, 10, 410, false, "0117"},
	medBuprenorphine:   {"1010604", "buprenorphine 8 MG / naloxone 2 MG Sublingual Film", 28, 56, 17880, true, "0118"},
	medNaltrexone:      {"1483744", "naltrexone hydrochloride 50 MG Oral Tablet", 30, 30, 5230, false, "0119"},
	medAntiretroviral:  {"1999667", "bictegravir 50 MG / emtricitabine 200 MG / tenofovir alafenamide 25 MG Oral Tablet", 30, 30, 389500, true, "0120"},
	medCeftriaxone:     {"1665021", "ceftriaxone 500 MG Injection", 1, 1, 1980, false, "0121"},
	medWarfarin:        {"855332", "warfarin sodium 5 MG Oral Tablet", 30, 30, 770, false, "0122"},
	medFurosemide:      {"313988", "furosemide 40 MG Oral Tablet", 30, 30, 520, false, "0123"},
	medCyclobenzaprine: {"828320", "cyclobenzaprine hydrochloride 10 MG Oral Tablet", 10, 30, 640, false, "0124"},
	medLoratadine:      {"311372", "loratadine 10 MG Oral Tablet", 30, 30, 480, false, "0125"},
	medOlanzapine:      {"312078", "olanzapine 5 MG Oral Tablet", 30, 30, 1320, false, "0126"},
	medAdalimumab:      {"727703", "adalimumab 40 MG in 0.8 ML Prefilled Syringe", 28, 2, 612400, true, "0127"},
	medSumatriptan:     {"313161", "sumatriptan 50 MG Oral Tablet", 30, 9, 1710, false, "0128"},
}

type condition struct {
	icd, snomed, name string
	lo, hi            int    // ages it starts at
	sex               byte   // 'f', 'm' or 0
	chronic           bool   // stays on the problem list
	label             string // sensitivity code of v3-ActCode, "" for none
	meds              []int
	panel             int
}

const (
	panelNone = iota
	panelMetabolic
	panelBlood
	panelLipid
	panelDiabetes
	panelThyroid
	panelUrine
	panelViral
	panelCoagulation
)

var chronic = []condition{
	{"I10", "59621000", "Essential hypertension", 30, 120, 0, true, "", []int{medLisinopril, medAmlodipine, medLosartan}, panelMetabolic},
	{"E11.9", "44054006", "Type 2 diabetes mellitus", 30, 120, 0, true, "", []int{medMetformin, medGlargine}, panelDiabetes},
	{"E78.5", "55822004", "Hyperlipidemia", 30, 120, 0, true, "", []int{medAtorvastatin}, panelLipid},
	{"E03.9", "40930008", "Hypothyroidism", 20, 120, 'f', true, "", []int{medLevothyroxine}, panelThyroid},
	{"J45.909", "195967001", "Asthma", 4, 60, 0, true, "", []int{medAlbuterol, medFluticasone}, panelNone},
	{"K21.9", "235595009", "Gastroesophageal reflux disease", 18, 120, 0, true, "", []int{medOmeprazole}, panelNone},
	{"I48.91", "49436004", "Atrial fibrillation", 55, 120, 0, true, "", []int{medWarfarin}, panelCoagulation},
	{"I50.9", "42343007", "Congestive heart failure", 60, 120, 0, true, "", []int{medFurosemide, medLisinopril}, panelMetabolic},
	{"G43.909", "37796009", "Migraine", 12, 60, 'f', true, "", []int{medSumatriptan}, panelNone},
	{"M06.9", "69896004", "Rheumatoid arthritis", 30, 120, 0, true, "", []int{medAdalimumab, medPrednisone}, panelBlood},
	{"N18.30", "433144002", "Chronic kidney disease stage 3", 50, 120, 0, true, "", []int{medLosartan}, panelMetabolic},
	{"M54.50", "279039007", "Low back pain", 18, 120, 0, true, "", []int{medGabapentin, medIbuprofen}, panelNone},
	{"F33.1", "370143000", "Major depressive disorder, recurrent", 14, 120, 0, true, "PSY", []int{medSertraline, medEscitalopram}, panelNone},
	{"F11.20", "5602001", "Opioid use disorder", 18, 70, 0, true, "SUD", []int{medBuprenorphine}, panelUrine},
	{"F10.20", "7200002", "Alcohol use disorder", 20, 80, 0, true, "ETH", []int{medNaltrexone}, panelMetabolic},
	{"B20", "86406008", "Human immunodeficiency virus disease", 18, 70, 0, true, "HIV", []int{medAntiretroviral}, panelViral},
	{"F20.9", "58214004", "Schizophrenia", 18, 60, 0, true, "PSY", []int{medOlanzapine}, panelMetabolic},
}

// firstLabelled is where the conditions with a sensitivity code begin in chronic and in acute: they are drawn apart.
const (
	firstLabelledChronic = 12
	firstLabelledAcute   = 16
)

var acute = []condition{
	{"J06.9", "54150009", "Upper respiratory infection", 0, 120, 0, false, "", []int{medIbuprofen}, panelNone},
	{"J02.0", "43878008", "Streptococcal pharyngitis", 3, 50, 0, false, "", []int{medAmoxicillin}, panelNone},
	{"H66.90", "65363002", "Otitis media", 0, 12, 0, false, "", []int{medAmoxicillin}, panelNone},
	{"N39.0", "68566005", "Urinary tract infection", 3, 120, 'f', false, "", []int{medAmoxicillin}, panelUrine},
	{"J20.9", "10509002", "Acute bronchitis", 5, 120, 0, false, "", []int{medAzithromycin, medAlbuterol}, panelNone},
	{"S93.401A", "44465007", "Sprain of ankle", 6, 70, 0, false, "", []int{medIbuprofen}, panelNone},
	{"M25.561", "30989003", "Pain in right knee", 14, 120, 0, false, "", []int{medIbuprofen}, panelNone},
	{"L20.9", "24079001", "Atopic dermatitis", 0, 60, 0, false, "", []int{medPrednisone}, panelNone},
	{"K52.9", "25374005", "Gastroenteritis", 0, 120, 0, false, "", nil, panelMetabolic},
	{"J30.2", "367498001", "Seasonal allergic rhinitis", 4, 80, 0, false, "", []int{medLoratadine}, panelNone},
	{"R07.9", "29857009", "Chest pain", 25, 120, 0, false, "", nil, panelMetabolic},
	{"M62.830", "203095000", "Muscle spasm of back", 18, 80, 0, false, "", []int{medCyclobenzaprine}, panelNone},
	{"D50.9", "87522002", "Iron deficiency anemia", 12, 120, 'f', false, "", nil, panelBlood},
	{"S52.501A", "263102004", "Fracture of lower end of radius", 5, 120, 0, false, "", []int{medIbuprofen}, panelNone},
	{"J18.9", "233604007", "Pneumonia", 0, 120, 0, false, "", []int{medAzithromycin, medPrednisone}, panelBlood},
	{"B34.9", "34014006", "Viral disease", 0, 120, 0, false, "", nil, panelNone},
	{"A54.9", "15628003", "Gonorrhea", 16, 60, 0, false, "STD", []int{medCeftriaxone}, panelUrine},
	{"T74.11XA", "397940009", "Victim of physical abuse", 3, 80, 0, false, "SDV", nil, panelNone},
	{"F43.21", "47372000", "Adjustment disorder with depressed mood", 10, 80, 0, false, "PSY", []int{medSertraline}, panelNone},
}

type analyte struct {
	loinc, name, unit string
	lo, hi, places    int // usual range, as integers with that many decimal places
}

type panel struct {
	loinc, name string
	analytes    []analyte
}

var panels = [...]panel{
	panelMetabolic: {"24323-8", "Comprehensive metabolic panel", []analyte{
		{"2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", 68, 132, 0},
		{"2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", 55, 145, 2},
		{"2951-2", "Sodium [Moles/volume] in Serum or Plasma", "mmol/L", 134, 146, 0},
		{"2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L", 34, 52, 1},
		{"1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "U/L", 9, 62, 0},
	}},
	panelBlood: {"58410-2", "CBC panel - Blood by Automated count", []analyte{
		{"718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 98, 171, 1},
		{"4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count", "%", 312, 498, 1},
		{"6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", 38, 118, 1},
		{"777-3", "Platelets [#/volume] in Blood by Automated count", "10*3/uL", 142, 402, 0},
	}},
	panelLipid: {"57698-3", "Lipid panel with direct LDL - Serum or Plasma", []analyte{
		{"2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", 138, 262, 0},
		{"2571-8", "Triglyceride [Mass/volume] in Serum or Plasma", "mg/dL", 62, 248, 0},
		{"2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma", "mg/dL", 31, 78, 0},
		{"18262-6", "Cholesterol in LDL [Mass/volume] in Serum or Plasma by Direct assay", "mg/dL", 58, 178, 0},
	}},
	panelDiabetes: {"55399-0", "Diabetes tracking panel", []analyte{
		{"4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", 54, 104, 1},
		{"2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", 88, 226, 0},
		{"14959-1", "Microalbumin/Creatinine [Mass Ratio] in Urine", "mg/g", 4, 72, 0},
	}},
	panelThyroid: {"24348-5", "Thyroid panel - Serum or Plasma", []analyte{
		{"3016-3", "Thyrotropin [Units/volume] in Serum or Plasma", "m[IU]/L", 40, 780, 2}, {"3024-7", "Thyroxine (T4) free [Mass/volume] in Serum or Plasma", "ng/dL", 7, 19, 1},
	}},
	panelUrine: {"24357-6", "Urinalysis macro (dipstick) panel - Urine", []analyte{
		{"5811-5", "Specific gravity of Urine by Test strip", "{s_g}", 1004, 1031, 3}, {"5803-2", "pH of Urine by Test strip", "[pH]", 50, 80, 1},
	}},
	panelViral: {"55277-8", "HIV status", []analyte{
		{"20447-9", "HIV 1 RNA [#/volume] (viral load) in Serum or Plasma by NAA with probe detection", "{copies}/mL", 20, 480, 0}, {"24467-3", "CD3+CD4+ (T4 helper) cells [#/volume] in Blood", "/uL", 310, 1150, 0},
	}},
	panelCoagulation: {"34528-0", "PT panel - Platelet poor plasma by Coagulation assay", []analyte{
		{"6301-6", "INR in Platelet poor plasma by Coagulation assay", "{INR}", 16, 34, 1}, {"5902-2", "Prothrombin time (PT)", "s", 110, 320, 1},
	}},
}

// term is a code of a fixed system with its name.
type term struct{ code, name string }

var vaccines = []term{
	{"140", "Influenza, seasonal, injectable, preservative free"},
	{"208", "COVID-19, mRNA, 30 mcg/0.3 mL dose"},
	{"115", "Tdap"},
	{"187", "Zoster recombinant"},
	{"133", "Pneumococcal conjugate PCV 13"},
	{"08", "Hep B, adolescent or pediatric"},
	{"03", "MMR"},
	{"21", "Varicella"},
	{"10", "IPV"},
	{"106", "DTaP, 5 pertussis antigens"},
	{"165", "HPV9"},
	{"114", "Meningococcal MCV4P"},
}

// Immunizations of the young start at childVaccines in vaccines.
const childVaccines = 5

var procedures = []struct {
	snomed, name, cpt string
	cents             int
}{
	{"268400002", "12 lead electrocardiogram", "93000", 8900},
	{"399208008", "Plain X-ray of chest", "71046", 14200},
	{"45036003", "Ultrasonography of abdomen", "76700", 32800},
	{"73761001", "Colonoscopy", "45378", 148000},
	{"71388002", "Skin lesion removal", "11102", 21700},
	{"274474001", "Bone immobilization with splint", "29125", 16500},
	{"127783003", "Spirometry", "94010", 9800},
	{"91251008", "Physical therapy session", "97110", 7600},
	{"104091002", "Hemogram automated", "85025", 2900},
	{"113091000", "Magnetic resonance imaging", "72148", 118500},
	{"24623002", "Screening mammography", "77067", 27900},
	{"18286008", "Catheterization of heart", "93458", 894000},
	{"52734007", "Total replacement of hip", "27130", 2410000},
	{"80146002", "Appendectomy", "44970", 1380000},
}

// The last inpatientProcedures of procedures are done in hospital only.
const inpatientProcedures = 3

var dentalServices = []struct {
	term
	cents int
}{
	{term{"D0120", "Periodic oral evaluation"}, 5800},
	{term{"D1110", "Prophylaxis, adult"}, 10200},
	{term{"D0274", "Bitewings, four images"}, 7100},
	{term{"D2392", "Resin composite, two surfaces"}, 23500},
	{term{"D7140", "Extraction of erupted tooth"}, 18900},
	{term{"D2740", "Crown, ceramic"}, 118000},
	{term{"D1206", "Fluoride varnish"}, 4300},
}

var allergens = []struct {
	term
	category, reaction, reactionName string
}{
	{term{"91936005", "Allergy to penicillin"}, "medication", "271807003", "Eruption of skin"},
	{term{"91935009", "Allergy to peanut"}, "food", "39579001", "Anaphylaxis"},
	{term{"300913006", "Allergy to shellfish"}, "food", "126485001", "Urticaria"},
	{term{"300916003", "Allergy to latex"}, "environment", "40275004", "Contact dermatitis"},
	{term{"293586001", "Allergy to aspirin"}, "medication", "56018004", "Wheezing"},
	{term{"424213003", "Allergy to bee venom"}, "environment", "65124004", "Swelling"},
	{term{"91934008", "Allergy to nut"}, "food", "126485001", "Urticaria"},
	{term{"294505008", "Allergy to amoxicillin"}, "medication", "271807003", "Eruption of skin"},
}

var devices = []struct{ term }{
	{term{"702172008", "Home continuous positive airway pressure unit"}},
	{term{"23366006", "Motorized wheelchair"}},
	{term{"337414009", "Blood glucose meter"}},
	{term{"705643001", "Hearing aid"}},
	{term{"14106009", "Cardiac pacemaker"}},
	{term{"304120007", "Total hip replacement prosthesis"}},
}

var goals = []term{
	{"", "Blood pressure below 130/80 at every visit"},
	{"", "Hemoglobin A1c under 7.0 percent"},
	{"", "Walk thirty minutes on five days a week"},
	{"", "Lose seven percent of body weight"},
	{"", "Take medicines as prescribed"},
	{"", "Pain at or below 3 of 10 in daily life"},
}

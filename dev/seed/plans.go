package seed

// plan is a product of the payer. The prefix starts the subscriber ids of its subscribers.
type plan struct {
	line, id, name, prefix, network string
	kind                            code
}

const sysCoverageType = "https://nahdo.org/sopt"

var plans = []plan{
	{"commercial", "PPO-1500", "Meridian Choice PPO 1500", "MVC", "Choice PPO", code{sysCoverageType, "512", "Commercial Managed Care - PPO"}},
	{"commercial", "HMO-STD", "Meridian Select HMO", "", "Select HMO", code{sysCoverageType, "511", "Commercial Managed Care - HMO"}},
	{"commercial", "HDHP-3000", "Meridian Saver HDHP 3000", "7", "Choice PPO", code{sysCoverageType, "513", "Commercial Managed Care - POS"}},
	{"exchange", "SILVER-94", "Meridian Silver 94", "MVX", "Valley EPO", code{sysCoverageType, "511", "Commercial Managed Care - HMO"}},
	{"exchange", "GOLD-80", "Meridian Gold 80", "", "Valley EPO", code{sysCoverageType, "511", "Commercial Managed Care - HMO"}},
	{"medicaid", "MCO-CORE", "Valley Community Care", "", "Community Care", code{sysCoverageType, "21", "Medicaid (Managed Care)"}},
	{"medicaid", "CHIP-PLUS", "Valley Kids Plus", "", "Community Care", code{sysCoverageType, "21", "Medicaid (Managed Care)"}},
	{"medicare", "MA-HMO", "Meridian Advantage HMO", "H", "Advantage HMO", code{sysCoverageType, "11", "Medicare (Managed Care)"}},
	{"medicare", "MA-PPO", "Meridian Advantage PPO", "", "Advantage PPO", code{sysCoverageType, "11", "Medicare (Managed Care)"}},
	{"retiree", "RET-GRP", "Meridian Retiree Group", "MVR", "Choice PPO", code{sysCoverageType, "512", "Commercial Managed Care - PPO"}},
}

// choosePlan draws a plan that fits: Medicare covers one person, so senior couples are in the retiree group.
func choosePlan(r *rng, s shape) *plan {
	switch {
	case s.senior && s.adults > 1:
		return &plans[9]
	case s.senior:
		return &plans[7+r.n(2)]
	case s.kids > 0 && r.chance(220):
		return &plans[5+r.n(2)]
	}
	return &plans[r.n(6)]
}

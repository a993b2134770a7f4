package seed_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const c4bbProfile = "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-"

func profileOf(r node) string { return r.obj("meta")["profile"].([]any)[0].(string) }

func categories(list []node) map[string]int {
	n := map[string]int{}
	for _, e := range list {
		n[e.obj("category").code()]++
	}
	return n
}

func amount(list []node, category string) float64 {
	for _, e := range list {
		if e.obj("category").code() == category {
			return e.obj("amount").num("value")
		}
	}
	return math.NaN()
}

func TestClaimsHaveWhatTheirProfileRequires(t *testing.T) {
	t.Parallel()
	info := map[string][]string{
		"Inpatient-Institutional":   {"admissionperiod", "clmrecvddate", "typeofbill", "pointoforigin", "admtype", "discharge-status"},
		"Outpatient-Institutional":  {"clmrecvddate", "typeofbill", "pointoforigin", "admtype"},
		"Professional-NonClinician": {"clmrecvddate", "servicefacility"},
		"Oral":                      {"clmrecvddate", "servicefacility"},
		"Pharmacy":                  {"brandgenericindicator", "dayssupply", "dawcode", "refillnum", "compoundcode", "clmrecvddate"},
	}
	types := map[string]string{
		"Inpatient-Institutional": "institutional", "Outpatient-Institutional": "institutional", "Professional-NonClinician": "professional",
		"Oral": "oral", "Pharmacy": "pharmacy",
	}
	seen := map[string]int{}
	for _, r := range world()["ExplanationOfBenefit"] {
		kind, ok := strings.CutPrefix(profileOf(r), c4bbProfile)
		if !ok {
			require.Equal(t, "preauthorization", r.str("use"))
			continue
		}
		seen[kind]++
		require.Contains(t, info, kind)
		require.Equal(t, "claim", r.str("use"))
		require.Equal(t, "active", r.str("status"))
		require.Equal(t, types[kind], r.obj("type").code())
		require.Equal(t, "uc", r.at("identifier", 0).obj("type").code())
		for _, element := range []string{"created", "insurer", "provider", "outcome", "billablePeriod", "insurance", "item", "total", "payment"} {
			require.Contains(t, r, element)
		}
		require.Equal(t, true, r.at("insurance", 0)["focal"])
		require.NotEmpty(t, r.at("insurance", 0).obj("coverage").str("reference"))
		got := categories(r.list("supportingInfo"))
		for _, want := range info[kind] {
			require.Equal(t, 1, got[want], "%s lacks %s", kind, want)
		}
		header := categories(r.list("adjudication"))
		require.Equal(t, 1, header["billingnetworkstatus"])
		require.Equal(t, 1, header["benefitpaymentstatus"])
		if kind != "Pharmacy" {
			require.NotEmpty(t, r.at("diagnosis", 0).obj("diagnosisCodeableConcept").code())
		}
		for _, item := range r.list("item") {
			require.NotEmpty(t, item.obj("productOrService").code())
			require.NotEmpty(t, item.str("servicedDate"))
			if types[kind] == "institutional" {
				require.NotEmpty(t, item.obj("revenue").code())
			}
			require.Equal(t, 1, categories(item.list("adjudication"))["benefitpaymentstatus"])
		}
	}
	require.Len(t, seen, len(info), "a claim type is missing")
}

func TestMoneyAddsUp(t *testing.T) {
	t.Parallel()
	for _, r := range world()["ExplanationOfBenefit"] {
		if r.str("use") != "claim" {
			continue
		}
		total := r.list("total")
		items := 0.0
		for _, item := range r.list("item") {
			items += item.obj("net").num("value")
		}
		require.InDelta(t, items, amount(total, "submitted"), 0.005)
		require.InDelta(t, amount(total, "submitted"), amount(total, "discount")+amount(total, "benefit")+amount(total, "memberliability"), 0.005)
		require.InDelta(t, r.obj("payment").obj("amount").num("value"), amount(total, "paidtoprovider"), 0.005)
		if r.obj("payment").obj("type").code() == "denied" {
			require.Zero(t, amount(total, "paidtoprovider"))
		}
	}
}

func TestPriorAuthScenariosSitOnTheirSideOfTheRules(t *testing.T) {
	t.Parallel()
	byID := map[string]node{}
	for _, r := range world()["ExplanationOfBenefit"] {
		byID[r.str("id")] = r
	}
	scenarioOf := map[string]string{} // by patient, where the patient has one scenario only
	for _, line := range world()["truth"] {
		if auths := line.obj("priorAuths"); len(auths) == 1 {
			for scenario := range auths {
				scenarioOf[line.str("patient")] = scenario
			}
		}
	}
	months := func(s string) int { return int(anchor.Sub(parseDay(t, s)) / (time.Hour * 24 * 30)) }
	seen := map[string]int{}
	for _, r := range world()["ExplanationOfBenefit"] {
		scenario := scenarioOf[owner("ExplanationOfBenefit", r)]
		if r.str("use") != "preauthorization" || scenario == "" {
			continue
		}
		seen[scenario]++
		item := r.at("item", 0)
		review := item.at("adjudication", 0).list("extension")
		action := review[0].at("extension", 1).obj("valueCodeableConcept").code()
		decided := ""
		if len(review) > 1 {
			decided = review[1].str("valueDateTime")
		}
		valid := false
		if p := r.at("preAuthRefPeriod", 0); p != nil {
			valid = parseDay(t, p.str("end")).After(anchor)
		}
		documented := len(r.list("supportingInfo")) == 2
		switch scenario {
		case "active-old":
			require.GreaterOrEqual(t, months(r.str("created")), 72)
			require.True(t, valid && documented && action == "A1")
		case "approved":
			require.Less(t, months(decided), 12)
			require.True(t, valid && documented && action == "A1")
		case "pending":
			require.True(t, decided == "" && documented && action == "A4" && r.str("outcome") == "queued")
		case "denied-11-months":
			require.Equal(t, 11, months(decided))
			require.Equal(t, "A3", action)
		case "denied-13-months":
			require.Equal(t, 13, months(decided))
			require.Equal(t, "A3", action)
		case "expired":
			require.GreaterOrEqual(t, months(r.at("preAuthRefPeriod", 0).str("end")), 19)
			require.Greater(t, months(decided), 24)
		case "drug":
			require.Equal(t, "pharmacy", r.obj("type").code())
			require.True(t, valid)
		}
		updated := r.obj("meta").str("lastUpdated")
		require.GreaterOrEqual(t, updated, r.str("created"))
	}
	require.NotEmpty(t, seen)
}

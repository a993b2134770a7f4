package release

import (
	"bytes"
	"strings"

	"pdexbulk/models/fhir"
)

// An adjudication says in one list what was paid and what was decided. Of its entries
//
//	a category of the code systems of amounts          goes whole
//	billingnetworkstatus, renderingnetworkstatus,      stays, without amount and value
//	  benefitpaymentstatus, adjustmentreason,
//	  rejectreason, denialreason
//	allowedunits, consumedunits                        stays with its value, without amount
//	any other category                                 stays when it has a reason, without amount and value
//
// Only whole entries go, since the profiles slice by category and ask for what belongs to it. In a prior authorisation, though, the
// entry of an amount also carries the decision (reviewAction, when adjudicated). Such an entry stays, and its amount, which
// the PDex profile asks for, says that it is masked. The same goes for a total that tells the units used.
//
// Of a total nothing else stays, of a payment its type and date.

const (
	systemAmounts       = "http://terminology.hl7.org/CodeSystem/adjudication"
	systemC4BBAmounts   = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudication"
	systemDiscriminator = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudicationDiscriminator"
	systemPDexReason    = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PDexAdjudicationDiscriminator"

	pdexBase = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/"
	pasBase  = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"

	maskedAmount = `{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"masked"}]}`
)

// decisions are the extensions by which an entry carries a decision.
var decisions = map[string]bool{
	pdexBase + "extension-reviewAction":        true,
	pdexBase + "base-ext-when-adjudicated":     true,
	pasBase + "extension-reviewAction":         true,
	pdexBase + "PriorAuthorizationUtilization": true,
}

// entry is what was found about an entry of adjudication or total.
type entry struct {
	goes  bool
	units bool // its value counts units
	masks bool // it keeps an amount, masked
}

// judge looks at an entry before it is read.
func (v *Viewer) judge(i int, p place) (e entry) {
	if p.kind != adjudication && p.kind != total {
		return e
	}
	decided := p.auth && v.decided(i)
	// R4 asks for the amount of a total; of an adjudication only the PDex profile does.
	needs := p.kind == total || p.typ == fhir.TypeExplanationOfBenefit
	if p.kind == total {
		return entry{goes: !decided, masks: decided}
	}
	amounts, units, status := v.category(i)
	_, _, reason := member(v.b, i, "reason")
	switch {
	case amounts, !units && !status && !reason:
		return entry{goes: !decided, masks: decided && needs}
	case units:
		return entry{units: true}
	}
	return entry{}
}

func (v *Viewer) decided(i int) (found bool) {
	at(v.b, i, func(s, e int) { found = found || decisions[string(str(v.b, s, e))] }, "extension", "url")
	return found
}

// category tells the codes of an entry's category apart. One that is an amount outweighs others.
func (v *Viewer) category(i int) (amounts, units, status bool) {
	at(v.b, i, func(s, _ int) {
		var system, code string
		if from, to, ok := member(v.b, s, "system"); ok {
			system = string(str(v.b, from, to))
		}
		if from, to, ok := member(v.b, s, "code"); ok {
			code = string(str(v.b, from, to))
		}
		switch system {
		case systemAmounts, systemC4BBAmounts:
			amounts = true
		case systemDiscriminator, systemPDexReason:
			switch code {
			case "allowedunits", "consumedunits":
				units = true
			case "billingnetworkstatus", "renderingnetworkstatus", "benefitpaymentstatus", "adjustmentreason", "rejectreason", "denialreason":
				status = true
			}
		}
	}, "category", "coding")
	return amounts, units, status
}

// mask puts the sign that something is masked in the place of an amount.
func (v *Viewer) mask(start, end int) {
	if string(v.b[start:end]) != maskedAmount {
		v.cuts = append(v.cuts, cut{start, end, maskedAmount})
	}
}

func paymentStays(name []byte) bool {
	switch string(name) {
	case "id", "type", "date", "_date":
		return true
	}
	return false
}

const (
	c4bbBenefit = "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-"
	basis       = "-Basis"
)

// c4bbProfiles are the profiles of ExplanationOfBenefit that have a Basis profile (CARIN BB 2.2.0).
var c4bbProfiles = map[string]bool{
	"Inpatient-Institutional":   true,
	"Outpatient-Institutional":  true,
	"Professional-NonClinician": true,
	"Oral":                      true,
	"Pharmacy":                  true,
}

// profiles renames the C4BB profiles in meta.profile, which begins at i, to their Basis profiles. A list that names both keeps
// one.
func (v *Viewer) profiles(i int) {
	basic := func(name []byte) (string, bool) {
		rest, ok := strings.CutPrefix(string(name), c4bbBenefit)
		profile, version, versioned := strings.Cut(rest, "|")
		if !ok || !c4bbProfiles[profile] {
			return "", false
		}
		if versioned {
			version = "|" + version
		}
		return c4bbBenefit + profile + basis + version, true
	}
	there := map[string]bool{}
	each(v.b, i, func(s, e int) {
		name, _, _ := bytes.Cut(str(v.b, s, e), []byte("|"))
		there[string(name)] = true
	})
	list := cutter{v: v, from: len(v.cuts)}
	each(v.b, i, func(s, e int) {
		before := len(v.cuts)
		name, ok := basic(str(v.b, s, e))
		bare, _, _ := strings.Cut(name, "|")
		if ok && there[bare] {
			list.next(s, e, before, false)
			return
		}
		if ok {
			there[bare] = true
			v.cuts = append(v.cuts, cut{s, e, `"` + name + `"`})
		}
		list.next(s, e, before, true)
	})
}

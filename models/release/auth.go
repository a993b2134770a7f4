package release

import (
	"bytes"
	"strings"

	"pdexbulk/models/fhir"
	"pdexbulk/models/fhir/checked"
)

// Prior authorisations (PDex 2.2.0, payer-to-payer "prior authorization": those active or pending, and those whose status
// changed within a year of the request). PDex has no element for the status; it is read from
//
//	status           cancelled ended it, entered-in-error means there never was one
//	decision         the codes of reviewAction (X12 306) in any adjudication: A4 and CT are pending, A3 refused, C
//	                 cancelled, every other code approved; several items may differ, and one that is pending or approved
//	                 counts over one refused
//	outcome          without any decision: queued is pending
//	validity         the latest end of preAuthRefPeriod, preAuthPeriod and the item's extension itemPreAuthPeriod; one
//	                 that is approved and tells no end is in force
//	status changed   the latest of when adjudicated, the item's issue date, and the day on which its validity ended;
//	                 without any of them created, and for a cancelled one meta.lastUpdated if the source has it
//
// All of that is known when it is imported, and so is the last day on which it may leave: a year after its status changed, or
// while it is in force if that is longer, or without end while it is pending.

// Authorization is what decides on a prior authorisation.
type Authorization struct {
	// Until is the last day on which it may leave: fhir.MinDay never, fhir.MaxDay always.
	Until fhir.Day
	// Changed is the day on which its status changed last.
	Changed fhir.Day
	// Drug says that it is for prescription drugs and nothing else. A ClaimResponse says nothing of that.
	Drug bool
	// Request is the Claim that a ClaimResponse answers, as Type/id; "" when there is none.
	Request string
	// Supports are the resources it was supported by, as Type/id.
	Supports []string
}

// authYears is for how many years after its status changed a prior authorisation is handed over.
const authYears = 1

// x12Review are the systems of review actions (X12 306).
var x12Review = map[string]bool{
	"https://codesystem.x12.org/005010/306":                                        true,
	"http://codesystem.x12.org/005010/306":                                         true,
	"https://x12.org/codes/health-care-services-review-certification-action-codes": true,
}

// Authorize reads a prior authorisation: an ExplanationOfBenefit, a Claim or a ClaimResponse. updated is what the source had
// as meta.lastUpdated, fhir.MinDay when it had none.
func Authorize(line []byte, updated fhir.Day) Authorization {
	a := authReader{b: line, start: checked.Blanks(line, 0), changed: fhir.MinDay, end: fhir.MinDay}
	return a.read(updated)
}

type authReader struct {
	b       []byte
	start   int
	changed fhir.Day
	end     fhir.Day
	ends    bool

	pending, approved, refused, cancelled bool
}

func (a *authReader) read(updated fhir.Day) Authorization {
	out := Authorization{Drug: a.drug()}
	for _, path := range [][]string{
		{"adjudication"},
		{"item", "adjudication"},
		{"item", "detail", "adjudication"},
		{"item", "detail", "subDetail", "adjudication"},
		{"addItem", "adjudication"},
		{"addItem", "detail", "adjudication"},
	} {
		at(a.b, a.start, func(s, _ int) { a.extensions(s) }, path...)
	}
	for _, path := range [][]string{{"item"}, {"addItem"}, {"item", "detail"}} {
		at(a.b, a.start, func(s, _ int) { a.extensions(s) }, path...)
	}
	for _, name := range []string{"preAuthRefPeriod", "preAuthPeriod"} {
		at(a.b, a.start, func(s, _ int) { a.valid(s) }, name)
	}
	created := a.day(fhir.MinDay, "created")
	status, outcome := a.text("status"), a.text("outcome")
	switch {
	case status == "entered-in-error":
		out.Until, out.Changed = fhir.MinDay, fhir.MinDay
		return a.relate(out)
	case status == "cancelled", a.cancelled && !a.approved && !a.pending:
		out.Changed = max(a.changed, created, updated)
		out.Until = addYears(out.Changed, authYears)
		return a.relate(out)
	}
	out.Changed = a.changed
	if out.Changed == fhir.MinDay {
		out.Changed = created
	}
	decided := a.approved || a.refused
	switch {
	case a.pending, !decided && (outcome == "queued" || outcome == "" || a.isRequest()):
		out.Until = fhir.MaxDay
	case a.refused && !a.approved, !decided && outcome == "error":
		out.Until = addYears(out.Changed, authYears)
	case !a.ends:
		out.Until = fhir.MaxDay
	default:
		out.Changed = max(out.Changed, a.end)
		out.Until = addYears(out.Changed, authYears)
	}
	return a.relate(out)
}

func (a *authReader) isRequest() bool { return typeOf(a.b, a.start) == fhir.TypeClaim }

// extensions reads what the extensions of an element tell of a decision and its validity.
func (a *authReader) extensions(i int) {
	at(a.b, i, func(s, _ int) {
		switch url := textOf(a.b, s, "url"); {
		case strings.HasSuffix(url, "/extension-reviewAction"):
			at(a.b, s, func(s, _ int) { a.decide(s) }, "extension", "valueCodeableConcept", "coding")
		case strings.HasSuffix(url, "/base-ext-when-adjudicated"):
			a.changed = max(a.changed, a.dayAt(s, fhir.MinDay, "valueDateTime"))
		case strings.HasSuffix(url, "/extension-itemPreAuthIssueDate"):
			a.changed = max(a.changed, a.dayAt(s, fhir.MinDay, "valueDate"))
		case strings.HasSuffix(url, "/extension-itemPreAuthPeriod"):
			at(a.b, s, func(s, _ int) { a.valid(s) }, "valuePeriod")
		}
	}, "extension")
}

func (a *authReader) decide(coding int) {
	if !x12Review[textOf(a.b, coding, "system")] {
		return
	}
	switch textOf(a.b, coding, "code") {
	case "":
	case "A4", "CT":
		a.pending = true
	case "A3":
		a.refused = true
	case "C":
		a.cancelled = true
	default:
		a.approved = true
	}
}

// valid takes in a period of validity. One without an end is in force.
func (a *authReader) valid(period int) {
	if end := a.dayAt(period, fhir.MaxDay, "end"); !a.ends || end > a.end {
		a.ends, a.end = true, end
	}
}

func (a *authReader) day(none fhir.Day, name string) fhir.Day { return a.dayAt(a.start, none, name) }

// dayAt returns the last day that a date stands for.
func (a *authReader) dayAt(i int, none fhir.Day, name string) fhir.Day {
	if d, err := fhir.ParseDateTime(textOf(a.b, i, name)); err == nil {
		return d.Last
	}
	return none
}

func (a *authReader) text(name string) string { return textOf(a.b, a.start, name) }

// textOf returns the text of a string member.
func textOf(b []byte, i int, name string) string {
	if s, e, ok := member(b, i, name); ok {
		return string(str(b, s, e))
	}
	return ""
}

// drug reports whether it is a pharmacy's, or every item of it is coded as a drug: by NDC or RxNorm, or as a HCPCS code of
// drugs (J0000 to J9999).
func (a *authReader) drug() bool {
	pharmacy := false
	at(a.b, a.start, func(s, _ int) {
		pharmacy = pharmacy || textOf(a.b, s, "code") == "pharmacy" && textOf(a.b, s, "system") == "http://terminology.hl7.org/CodeSystem/claim-type"
	}, "type", "coding")
	items, drugs := 0, 0
	at(a.b, a.start, func(s, _ int) {
		items++
		drug := false
		at(a.b, s, func(s, _ int) { drug = drug || drugCode(textOf(a.b, s, "system"), textOf(a.b, s, "code")) }, "productOrService", "coding")
		if drug {
			drugs++
		}
	}, "item")
	return pharmacy || items > 0 && drugs == items
}

func drugCode(system, code string) bool {
	switch system {
	case "http://hl7.org/fhir/sid/ndc", "http://www.nlm.nih.gov/research/umls/rxnorm":
		return true
	}
	return strings.Contains(system, "HCPCS") && len(code) == 5 && code[0] == 'J'
}

// relate notes what a prior authorisation answers and is supported by.
func (a *authReader) relate(out Authorization) Authorization {
	if typeOf(a.b, a.start) == fhir.TypeClaimResponse {
		at(a.b, a.start, func(s, e int) { out.Request = Target(str(a.b, s, e)) }, "request", "reference")
	}
	note := func(s, e int) {
		if to := Target(str(a.b, s, e)); to != "" {
			out.Supports = append(out.Supports, to)
		}
	}
	at(a.b, a.start, note, "supportingInfo", "valueReference", "reference")
	at(a.b, a.start, func(s, e int) {
		if to := Target(str(a.b, s, e)); strings.HasPrefix(to, "Binary/") {
			out.Supports = append(out.Supports, to)
		}
	}, "supportingInfo", "valueAttachment", "url")
	return out
}

// Target returns what a literal reference leads to as Type/id, or as the id alone when it is a urn:uuid; "" when it leads nowhere
// within the store.
func Target(reference []byte) string { return string(target(reference)) }

func target(reference []byte) []byte {
	if id, ok := bytes.CutPrefix(reference, urnUUID); ok {
		return id
	}
	if len(reference) == 0 || reference[0] == '#' {
		return nil
	}
	ref, _, _ := bytes.Cut(reference, history)
	slash := bytes.LastIndexByte(ref, '/')
	if slash <= 0 {
		return nil
	}
	from := bytes.LastIndexByte(ref[:slash], '/') + 1
	if _, ok := fhir.TypeCode(string(ref[from:slash])); !ok {
		return nil
	}
	return ref[from:]
}

var urnUUID, history = []byte("urn:uuid:"), []byte("/_history/")

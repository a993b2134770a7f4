package release

import (
	"bytes"
	"slices"

	"pdexbulk/models/fhir"
	"pdexbulk/models/fhir/checked"
)

// The non-financial view of a resource has no amount of money in it, nor what a member shares of the cost (PDex 2.2.0,
// payer-to-payer and provider access: "excluding provider remittances and enrollee cost-sharing information").
//
// The CARIN Basis profiles allow money, so the view is made by rule. In a type of the table below the members named in its row
// go, wherever they are; adjudication, total and payment go by the rules of adjudication.go; and the narrative goes, because it
// may tell the amounts in words. In every type goes what has the shape of money: an object with a currency, a value of type
// Money, a quantity counted in a currency. What is left empty by that goes too. The names of the five C4BB profiles become those
// of their Basis profiles (https://hl7.org/fhir/us/carin-bb, "non-financial").
//
// What decides is never whether an amount is there, so the view of a resource is the same whatever amounts are put into it.

// moneyRule is a row of the table.
type moneyRule struct {
	drops   []string
	lengths uint64 // bit n is set when a name of n bytes is among drops
	claim   bool   // adjudication, total and payment are those of a claim
}

func (r *moneyRule) goes(name []byte) bool {
	if len(name) > 63 || r.lengths>>len(name)&1 == 0 {
		return false
	}
	return slices.Contains(r.drops, string(name))
}

// moneyRules are the types that hold money by their definition.
var moneyRules = func() map[int16]*moneyRule {
	table := map[int16]*moneyRule{
		fhir.TypeExplanationOfBenefit: {
			drops: []string{"amount", "unitPrice", "net", "factor", "benefitBalance", "tax", "patientPaid"}, claim: true,
		},
		fhir.TypeClaim:                       {drops: []string{"amount", "unitPrice", "net", "factor", "total", "tax", "patientPaid"}, claim: true},
		fhir.TypeClaimResponse:               {drops: []string{"amount", "unitPrice", "net", "factor", "tax"}, claim: true},
		fhir.TypeCoverage:                    {drops: []string{"costToBeneficiary"}},
		fhir.TypeCoverageEligibilityRequest:  {drops: []string{"unitPrice"}},
		fhir.TypeCoverageEligibilityResponse: {drops: []string{"benefit"}},
		fhir.TypeChargeItem:                  {drops: []string{"priceOverride", "factorOverride", "overrideReason"}},
		fhir.TypeChargeItemDefinition:        {drops: []string{"priceComponent"}},
		fhir.TypeContract:                    {drops: []string{"unitPrice", "net", "factor", "points"}},
		fhir.TypeInsurancePlan:               {drops: []string{"generalCost", "specificCost"}},
		fhir.TypeInvoice:                     {drops: []string{"priceComponent", "totalPriceComponent", "totalNet", "totalGross", "paymentTerms"}},
		fhir.TypeMedicationKnowledge:         {drops: []string{"cost"}},
		fhir.TypePaymentNotice:               {drops: []string{"amount"}},
		fhir.TypePaymentReconciliation:       {drops: []string{"amount", "paymentAmount"}},
	}
	for _, r := range table {
		for _, d := range r.drops {
			r.lengths |= 1 << len(d)
		}
	}
	return table
}()

// HoldsMoneyByType reports whether resources of a type hold money by their definition.
func HoldsMoneyByType(typ int16) bool { return moneyRules[typ] != nil }

// Viewer makes non-financial views. It keeps memory between calls and is not for concurrent use; the zero value is ready.
type Viewer struct {
	b    []byte
	cuts []cut
}

// NonFinancial appends the non-financial view of a line to dst. changed is false, and nothing appended, when the line is its
// own view. typ is the line's type, and flags what is known of it (FlagPlain, FlagAuth).
func (v *Viewer) NonFinancial(dst, line []byte, typ int16, flags uint16) (out []byte, changed bool) {
	if moneyRules[typ] == nil && flags&FlagPlain != 0 {
		return dst, false
	}
	v.b, v.cuts = line, v.cuts[:0]
	start := checked.Blanks(line, 0)
	if start >= len(line) || line[start] != '{' {
		return dst, false
	}
	v.object(start, place{kind: root, rule: moneyRules[typ], typ: typ, auth: flags&FlagAuth != 0})
	if len(v.cuts) == 0 {
		return dst, false
	}
	return splice(slices.Grow(dst, len(line)+1), line, v.cuts), true
}

// kind says what an object is to the rules.
type kind uint8

const (
	plain        kind = iota
	root              // a resource, contained ones included
	extension         // an Extension
	adjudication      // an entry of an adjudication
	total             // an entry of total
	payment           // payment of a claim
	meta              // meta of an ExplanationOfBenefit
	contained         // another resource, whose type is still to be read
)

// place is where an object stands.
type place struct {
	kind kind
	rule *moneyRule
	typ  int16
	auth bool // within a prior authorisation
}

// resource returns the place of a resource that another one contains.
func (v *Viewer) resource(i int, typ int16) place {
	p := place{kind: root, rule: moneyRules[typ], typ: typ}
	if p.rule != nil && p.rule.claim {
		p.auth = isAuthorization(v.b, i)
	}
	return p
}

func isAuthorization(b []byte, i int) bool {
	found := false
	at(b, i, func(s, e int) { found = found || string(str(b, s, e)) == "preauthorization" }, "use")
	at(b, i, func(s, e int) {
		canonical, _, _ := bytes.Cut(str(b, s, e), []byte("|"))
		found = found || string(canonical) == fhir.PriorAuthProfile
	}, "meta", "profile")
	return found
}

// value reads the value at i and notes what of it goes. It returns whether the value itself stays.
func (v *Viewer) value(i int, p place) (end int, stays bool) {
	if i >= len(v.b) {
		return len(v.b), true
	}
	switch v.b[i] {
	case '{':
		return v.object(i, p)
	case '[':
		return v.array(i, p)
	}
	return checked.Value(v.b, i), true
}

func (v *Viewer) array(i int, p place) (end int, stays bool) {
	list := cutter{v: v, from: len(v.cuts)}
	for i = checked.Blanks(v.b, i+1); i < len(v.b) && v.b[i] != ']'; {
		n := len(v.cuts)
		after, ok := v.value(i, p)
		list.next(i, after, n, ok)
		if i = checked.Blanks(v.b, after); i >= len(v.b) || v.b[i] != ',' {
			break
		}
		i = checked.Blanks(v.b, i+1)
	}
	return min(i+1, len(v.b)), list.done()
}

func (v *Viewer) object(i int, p place) (end int, stays bool) {
	start, from := i, len(v.cuts)
	if p.kind == contained {
		p = v.resource(i, typeOf(v.b, i))
	}
	entry := v.judge(i, p)
	if entry.goes {
		return checked.Value(v.b, i), false
	}
	list := cutter{v: v, from: from}
	holds, amount := false, false
	for i = checked.Blanks(v.b, i+1); i < len(v.b) && v.b[i] == '"'; {
		key := i
		behind := checked.Closing(v.b, i+1)
		name := v.b[i+1 : max(i+1, behind-1)]
		at := checked.Blanks(v.b, checked.Blanks(v.b, behind)+1)
		n := len(v.cuts)
		var after int
		var ok bool
		switch {
		case p.kind != root && isMoney(name, v.b, at):
			v.cuts = v.cuts[:from]
			return checked.Value(v.b, start), false
		case entry.masks && string(name) == "amount":
			after, ok, amount = checked.Value(v.b, at), true, true
			v.mask(at, after)
		case v.goes(name, at, p, entry):
			after = checked.Value(v.b, at)
		default:
			after, ok = v.value(at, v.below(name, p))
		}
		list.next(key, after, n, ok)
		holds = holds || ok && (bytes.HasPrefix(name, []byte("value")) || string(name) == "extension")
		if i = checked.Blanks(v.b, after); i >= len(v.b) || v.b[i] != ',' {
			break
		}
		i = checked.Blanks(v.b, i+1)
	}
	if entry.masks && !amount {
		v.cuts = append(v.cuts, cut{list.last, list.last, `,"amount":` + maskedAmount})
	}
	end = min(i+1, len(v.b))
	if p.kind == extension && !holds && len(v.cuts) > from {
		v.cuts = v.cuts[:from]
		return end, false
	}
	return end, list.done() || p.kind == root
}

// typeOf returns the type of the resource that begins at i, 0 when it names none.
func typeOf(b []byte, i int) (typ int16) {
	if s, e, ok := member(b, i, "resourceType"); ok {
		typ, _ = fhir.TypeCode(string(str(b, s, e)))
	}
	return typ
}

// isMoney reports whether an object with this member is an amount.
func isMoney(name, b []byte, at int) bool {
	switch string(name) {
	case "currency", "_currency":
		return true
	case "system":
		// Where no escape is among as many bytes, they are the text itself, and then most are told apart at once.
		if begins := b[min(at+1, len(b)):min(at+1+len(fhir.CurrencySystem), len(b))]; string(begins) != fhir.CurrencySystem && bytes.IndexByte(begins, '\\') < 0 {
			return false
		}
		return string(str(b, at, checked.Value(b, at))) == fhir.CurrencySystem
	}
	return false
}

// goes reports whether a member goes by its name.
func (v *Viewer) goes(name []byte, at int, p place, e entry) bool {
	switch p.kind {
	case extension:
		return string(name) == "valueMoney"
	case meta:
		if string(name) == "profile" {
			v.profiles(at)
		}
		return false
	case payment:
		return !paymentStays(name)
	case root:
		if name := string(name); name == "currency" || name == "_currency" || name == "text" && p.rule != nil {
			return true
		}
	case adjudication:
		if string(name) == "value" || string(name) == "_value" {
			return !e.units
		}
	case plain, total, contained:
	}
	return string(name) == "valueMoney" || p.rule != nil && p.rule.goes(bytes.TrimPrefix(name, []byte("_")))
}

// below returns the place of what a member holds.
func (v *Viewer) below(name []byte, p place) place {
	switch string(name) {
	case "extension", "modifierExtension":
		return place{kind: extension, rule: p.rule, typ: p.typ, auth: p.auth}
	case "contained", "resource":
		return place{kind: contained, rule: p.rule, typ: p.typ}
	}
	next := place{rule: p.rule, typ: p.typ, auth: p.auth}
	if p.kind == extension {
		next.rule = nil // a datatype: what is called amount there is no amount of the claim
		return next
	}
	if p.rule == nil || !p.rule.claim {
		return next
	}
	switch string(name) {
	case "adjudication":
		next.kind = adjudication
	case "total":
		next.kind = total
	case "payment":
		next.kind = payment
	case "meta":
		if p.kind == root && p.typ == fhir.TypeExplanationOfBenefit {
			next.kind = meta
		}
	}
	return next
}

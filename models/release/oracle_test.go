package release

import (
	"strings"

	"pdexbulk/models/fhir"
)

// The rules of the non-financial view once more, on decoded JSON: slow, and written from the documentation of money.go and
// adjudication.go.

type oracle struct {
	typ   string
	claim bool // the type is of a claim
	auth  bool
}

var oracleDrops = map[string][]string{
	"ExplanationOfBenefit": {"amount", "unitPrice", "net", "factor", "benefitBalance", "tax", "patientPaid"},
	"Claim":                {"amount", "unitPrice", "net", "factor", "total", "tax", "patientPaid"}, "ClaimResponse": {"amount", "unitPrice", "net", "factor", "tax"},
	"Coverage": {"costToBeneficiary"}, "CoverageEligibilityRequest": {"unitPrice"}, "CoverageEligibilityResponse": {"benefit"},
	"ChargeItem": {"priceOverride", "factorOverride", "overrideReason"}, "ChargeItemDefinition": {"priceComponent"}, "Contract": {"unitPrice", "net", "factor", "points"},
	"InsurancePlan": {"generalCost", "specificCost"}, "Invoice": {"priceComponent", "totalPriceComponent", "totalNet", "totalGross", "paymentTerms"},
	"MedicationKnowledge": {"cost"}, "PaymentNotice": {"amount"}, "PaymentReconciliation": {"amount", "paymentAmount"},
}

func oracleView(doc map[string]any) map[string]any {
	return oracleResource(doc).(map[string]any)
}

func oracleResource(value any) any {
	doc, ok := value.(map[string]any)
	if !ok {
		return value
	}
	typ, _ := doc["resourceType"].(string)
	if _, known := fhir.TypeCode(typ); !known {
		typ = ""
	}
	o := oracle{typ: typ, claim: typ == "ExplanationOfBenefit" || typ == "Claim" || typ == "ClaimResponse"}
	if o.claim {
		for _, use := range follow(doc, "use") {
			o.auth = o.auth || use == "preauthorization"
		}
		for _, profile := range follow(doc, "meta", "profile") {
			s, _ := profile.(string)
			s, _, _ = strings.Cut(s, "|")
			o.auth = o.auth || s == fhir.PriorAuthProfile
		}
	}
	out, _ := o.members(doc, "root")
	return out
}

// follow returns what a path leads to, through lists.
func follow(value any, path ...string) []any {
	if list, ok := value.([]any); ok {
		var out []any
		for _, v := range list {
			out = append(out, follow(v, path...)...)
		}
		return out
	}
	if len(path) == 0 {
		return []any{value}
	}
	if object, ok := value.(map[string]any); ok {
		if v, there := object[path[0]]; there {
			return follow(v, path[1:]...)
		}
	}
	return nil
}

func (o oracle) value(value any, kind string) (any, bool) {
	switch v := value.(type) {
	case []any:
		var out []any
		gone := false
		for _, e := range v {
			if e, ok := o.value(e, kind); ok {
				out = append(out, e)
			} else {
				gone = true
			}
		}
		if gone && len(out) == 0 {
			return nil, false
		}
		if out == nil {
			out = []any{}
		}
		return out, true
	case map[string]any:
		if kind == "contained" {
			return oracleResource(v), true
		}
		return o.members(v, kind)
	}
	return value, true
}

func (o oracle) members(doc map[string]any, kind string) (any, bool) {
	_, a := doc["currency"]
	_, b := doc["_currency"]
	if kind != "root" && (a || b || doc["system"] == fhir.CurrencySystem) {
		return nil, false
	}
	masks, units := false, false
	if kind == "adjudication" || kind == "total" {
		decided := false
		for _, url := range follow(doc["extension"], "url") {
			s, _ := url.(string)
			decided = decided || o.auth && (strings.HasSuffix(s, "StructureDefinition/extension-reviewAction") && (strings.HasPrefix(s, pdexBase) || strings.HasPrefix(s, pasBase)) ||
				s == pdexBase+"base-ext-when-adjudicated" || s == pdexBase+"PriorAuthorizationUtilization")
		}
		amounts, status := false, false
		for _, coding := range follow(doc, "category", "coding") {
			c, _ := coding.(map[string]any)
			system, _ := c["system"].(string)
			code, _ := c["code"].(string)
			switch {
			case system == systemAmounts || system == systemC4BBAmounts:
				amounts = true
			case system != systemDiscriminator && system != systemPDexReason:
			case code == "allowedunits" || code == "consumedunits":
				units = true
			case strings.HasSuffix(code, "networkstatus") && (code == "billingnetworkstatus" || code == "renderingnetworkstatus") ||
				code == "benefitpaymentstatus" || code == "adjustmentreason" || code == "rejectreason" || code == "denialreason":
				status = true
			}
		}
		_, reason := doc["reason"]
		if kind == "total" || amounts || !units && !status && !reason {
			if !decided {
				return nil, false
			}
			units = false
			masks = kind == "total" || o.typ == "ExplanationOfBenefit"
		}
	}
	out := map[string]any{}
	gone, changed, holds := false, false, false
	for name, v := range doc {
		if masks && name == "amount" {
			continue
		}
		var keep bool
		var below any
		if !o.drops(name, kind, units) {
			below, keep = o.value(v, o.below(name, kind))
		}
		if !keep {
			gone, changed = true, true
			continue
		}
		changed = changed || !equal(below, v)
		out[name] = below
		holds = holds || strings.HasPrefix(name, "value") || name == "extension"
	}
	if masks {
		out["amount"] = map[string]any{"extension": []any{map[string]any{
			"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked",
		}}}
	}
	if kind == "meta" {
		if list, ok := out["profile"].([]any); ok {
			out["profile"] = oracleProfiles(list)
		}
	}
	if kind == "extension" && changed && !holds || gone && len(out) == 0 && kind != "root" {
		return nil, false
	}
	return out, true
}

func (o oracle) drops(name, kind string, units bool) bool {
	switch kind {
	case "extension":
		return name == "valueMoney"
	case "meta":
		return false
	case "payment":
		return name != "id" && name != "type" && name != "date" && name != "_date"
	case "root":
		if name == "currency" || name == "_currency" || name == "text" && oracleDrops[o.typ] != nil {
			return true
		}
	case "adjudication":
		if name == "value" || name == "_value" {
			return !units
		}
	case "datatype":
		return name == "valueMoney"
	}
	if name == "valueMoney" {
		return true
	}
	for _, d := range oracleDrops[o.typ] {
		if strings.TrimPrefix(name, "_") == d {
			return true
		}
	}
	return false
}

func (o oracle) below(name, kind string) string {
	switch {
	case name == "extension" || name == "modifierExtension":
		return "extension"
	case name == "contained" || name == "resource":
		return "contained"
	case kind == "extension" || kind == "datatype":
		return "datatype"
	case !o.claim:
		return "plain"
	case name == "adjudication" || name == "total" || name == "payment":
		return name
	case name == "meta" && kind == "root" && o.typ == "ExplanationOfBenefit":
		return "meta"
	}
	return "plain"
}

func oracleProfiles(list []any) []any {
	there := map[string]bool{}
	for _, p := range list {
		s, _ := p.(string)
		s, _, _ = strings.Cut(s, "|")
		there[s] = true
	}
	out := []any{}
	for _, p := range list {
		s, _ := p.(string)
		name, version, _ := strings.Cut(s, "|")
		if short := strings.TrimPrefix(name, c4bbBenefit); short != name && c4bbProfiles[short] {
			name += "-Basis"
			if there[name] {
				continue
			}
			there[name] = true
			if strings.Contains(s, "|") {
				name += "|" + version
			}
			p = name
		}
		out = append(out, p)
	}
	return out
}

func equal(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, there := y[k]; !there || !equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return a == b
}

package release

import (
	"slices"

	"pdexbulk/models/fhir"
	"pdexbulk/models/fhir/checked"
)

// link is a reference within a resource: where it stands and what it leads to.
type link struct {
	top, name string // the member of the resource and the member that holds the reference
	to        string // see Target
}

// relation says what a reference to something sensitive means for the resource it stands in.
type relation uint8

const (
	// mentions: the resource makes sense without. The reference is left out of the view for those who may not see its target.
	mentions relation = iota
	// setting: the resource was made on an occasion that is sensitive. It is so too when the occasion is by its own label or
	// code, and otherwise only mentions it.
	setting
	// depends: the resource says something of what is sensitive, and is so too.
	depends
)

// relate judges a link from a resource of a type.
//
// The rule is: who refers to something sensitive is sensitive. The exceptions are what everybody must get (Patient, Coverage), a
// List, whose entries stand for themselves, a Provenance with other targets (see rule.go), and the encounter of a finding or an order
// when the encounter is sensitive only for its reason.
func relate(typ int16, l link) relation {
	switch typ {
	case fhir.TypePatient, fhir.TypeCoverage, fhir.TypeProvenance:
		return mentions
	case fhir.TypeList:
		if l.top == "entry" {
			return mentions
		}
	}
	if (l.name == "encounter" || l.name == "context") && slices.Contains(onOccasions, typ) {
		return setting
	}
	return depends
}

// onOccasions are the types of findings and orders, which are made on the occasion of an encounter.
var onOccasions = []int16{
	fhir.TypeAllergyIntolerance, fhir.TypeCarePlan, fhir.TypeCareTeam, fhir.TypeCondition, fhir.TypeDeviceRequest, fhir.TypeDeviceUseStatement,
	fhir.TypeGoal, fhir.TypeImagingStudy, fhir.TypeImmunization, fhir.TypeMedicationAdministration, fhir.TypeMedicationDispense,
	fhir.TypeMedicationRequest, fhir.TypeMedicationStatement, fhir.TypeNutritionOrder, fhir.TypeObservation, fhir.TypeProcedure,
	fhir.TypeServiceRequest, fhir.TypeVisionPrescription,
}

// judged reports whether it matters where a link from a resource of a type stands. From any other it makes the resource depend on
// what it leads to.
func judged(typ int16) bool {
	switch typ {
	case fhir.TypePatient, fhir.TypeCoverage, fhir.TypeProvenance, fhir.TypeList:
		return true
	}
	return slices.Contains(onOccasions, typ)
}

// hasParts reports whether a type is one that part knows links of.
func hasParts(typ int16) bool {
	switch typ {
	case fhir.TypeDiagnosticReport, fhir.TypeObservation, fhir.TypeDocumentReference, fhir.TypeDocumentManifest, fhir.TypeMedia,
		fhir.TypeExplanationOfBenefit, fhir.TypeClaimResponse, fhir.TypeMedicationDispense, fhir.TypeMedicationAdministration:
		return true
	}
	return false
}

// part reports whether what a sensitive resource of a type links to is a part or the source of it, and so sensitive too.
func part(typ int16, l link) bool {
	switch typ {
	case fhir.TypeDiagnosticReport:
		return l.name == "result" || l.name == "link" || l.name == "imagingStudy" || l.name == "specimen"
	case fhir.TypeObservation:
		return l.name == "hasMember" || l.name == "specimen"
	case fhir.TypeDocumentReference, fhir.TypeDocumentManifest, fhir.TypeMedia:
		return l.top == "content"
	case fhir.TypeExplanationOfBenefit:
		return l.top == "claim" || l.top == "claimResponse"
	case fhir.TypeClaimResponse:
		return l.top == "request"
	case fhir.TypeMedicationDispense:
		return l.top == "authorizingPrescription"
	case fhir.TypeMedicationAdministration:
		return l.top == "request"
	}
	return false
}

// links calls fn with every link of a resource, and where it stands.
func links(line []byte, fn func(link)) {
	start := checked.Blanks(line, 0)
	if start >= len(line) || line[start] != '{' {
		return
	}
	members(line, start, func(top []byte, s, _ int) bool {
		linksBelow(line, s, string(top), string(top), fn)
		return true
	})
}

func linksBelow(b []byte, i int, top, name string, fn func(link)) {
	if i >= len(b) {
		return
	}
	switch b[i] {
	case '[':
		elements(b, i, func(s, _ int) bool { linksBelow(b, s, top, name, fn); return true })
	case '{':
		members(b, i, func(n []byte, s, e int) bool {
			if string(n) == "reference" {
				if to := Target(str(b, s, e)); to != "" {
					fn(link{top, name, to})
				}
			}
			linksBelow(b, s, top, string(n), fn)
			return true
		})
	}
}

// Mask appends a line to dst without its references to what hidden names: the member that holds such a reference goes, or the
// element when it is one of a list; in a List the whole entry. What is left empty by that goes too.
func (v *Viewer) Mask(dst, line []byte, hidden func(to string) bool) []byte {
	v.b, v.cuts = line, v.cuts[:0]
	start := checked.Blanks(line, 0)
	if start >= len(line) || line[start] != '{' {
		return append(dst, line...)
	}
	v.hide(start, 0, hidden)
	return splice(dst, line, v.cuts)
}

// hide notes what of the value at i goes. depth is 0 for the resource itself.
func (v *Viewer) hide(i, depth int, hidden func(string) bool) (end int, stays bool) {
	if i >= len(v.b) {
		return len(v.b), true
	}
	from := len(v.cuts)
	list := cutter{v: v, from: from}
	switch v.b[i] {
	case '[':
		for i = checked.Blanks(v.b, i+1); i < len(v.b) && v.b[i] != ']'; {
			n := len(v.cuts)
			after, ok := v.hide(i, depth+1, hidden)
			list.next(i, after, n, ok)
			if i = checked.Blanks(v.b, after); i >= len(v.b) || v.b[i] != ',' {
				break
			}
			i = checked.Blanks(v.b, i+1)
		}
		return min(i+1, len(v.b)), list.done()
	case '{':
		start := i
		for i = checked.Blanks(v.b, i+1); i < len(v.b) && v.b[i] == '"'; {
			key := i
			behind := checked.Closing(v.b, i+1)
			name := v.b[i+1 : max(i+1, behind-1)]
			at := checked.Blanks(v.b, checked.Blanks(v.b, behind)+1)
			end := checked.Value(v.b, at)
			if depth > 0 && v.leads(name, at, end, hidden) {
				v.cuts = v.cuts[:from]
				return checked.Value(v.b, start), false
			}
			n := len(v.cuts)
			after, ok := v.hide(at, depth+1, hidden)
			if !ok && string(name) == "item" {
				// An entry of a List is nothing without its item.
				v.cuts = v.cuts[:from]
				return checked.Value(v.b, start), false
			}
			list.next(key, after, n, ok)
			if i = checked.Blanks(v.b, after); i >= len(v.b) || v.b[i] != ',' {
				break
			}
			i = checked.Blanks(v.b, i+1)
		}
		return min(i+1, len(v.b)), list.done() || depth == 0
	}
	return checked.Value(v.b, i), true
}

func (v *Viewer) leads(name []byte, at, end int, hidden func(string) bool) bool {
	if string(name) != "reference" {
		return false
	}
	to := Target(str(v.b, at, end))
	return to != "" && hidden(to)
}

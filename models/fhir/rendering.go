package fhir

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"pdexbulk/models"
)

// Renderer is one who is named as having rendered a service: by NPI, or by what the resource refers to, as Type/id. One of the
// two is set.
type Renderer struct {
	NPI string
	Ref string
}

// The roles in a care team (CARIN C4BBClaimCareTeamRole, FHIR claimcareteamrole) and at an encounter (v3-ParticipationType) of
// those who treat. Who refers, prescribes, or is told is none of them.
var (
	teamRoles   = []string{"rendering", "performing", "attending", "operating", "otheroperating", "supervising", "primary", "assist", "supervisor"}
	visitRoles  = []string{"PPRF", "SPRF", "ATND", "ADM", "DIS", "CON", "PART"}
	visitStates = []string{"arrived", "triaged", "in-progress", "onleave", "finished"}
)

// Renderers calls fn with everyone who rendered the service that a line tells of: the provider and the care team of an
// ExplanationOfBenefit of a claim, the participants of an Encounter. Of other resources, of what is not active or has not begun,
// and of prior authorisations there are none. Whoever is named in several places is told of several times.
func Renderers(line []byte, typ int16, fn func(Renderer)) {
	doc := gjson.ParseBytes(line)
	name := func(who gjson.Result) { renderers(doc, who, 2, fn) }
	status := doc.Get("status").Str
	switch {
	case typ == TypeExplanationOfBenefit && status == "active" && doc.Get("use").Str == "claim":
		name(doc.Get("provider"))
		team := doc.Get("careTeam").Array()
		for _, one := range team {
			// Only where there is one does a role go without saying.
			if hasCode(one.Get("role"), teamRoles) || len(team) == 1 && !one.Get("role").Exists() {
				name(one.Get("provider"))
			}
		}
		for _, item := range doc.Get("addItem").Array() {
			for _, who := range item.Get("provider").Array() {
				name(who)
			}
		}
	case typ == TypeEncounter && slices.Contains(visitStates, status):
		for _, one := range doc.Get("participant").Array() {
			types := one.Get("type").Array()
			if len(types) == 0 || slices.ContainsFunc(types, func(t gjson.Result) bool { return hasCode(t, visitRoles) }) {
				name(one.Get("individual"))
			}
		}
	}
}

func hasCode(concept gjson.Result, codes []string) bool {
	return slices.ContainsFunc(concept.Get("coding").Array(), func(c gjson.Result) bool { return slices.Contains(codes, c.Get("code").Str) })
}

// renderers tells of one that a Reference names. depth is how many contained resources may lie between, since they may refer to
// each other in a ring.
func renderers(doc, who gjson.Result, depth int, fn func(Renderer)) {
	if npi := npiOf(who.Get("identifier")); npi != "" {
		fn(Renderer{NPI: npi})
		return
	}
	ref := who.Get("reference").Str
	if id, ok := strings.CutPrefix(ref, "#"); ok {
		for _, inner := range doc.Get("contained").Array() {
			if depth == 0 || inner.Get("id").Str != id {
				continue
			}
			for _, identifier := range inner.Get("identifier").Array() {
				if npi := npiOf(identifier); npi != "" {
					fn(Renderer{NPI: npi})
				}
			}
			if inner.Get("resourceType").Str == "PractitionerRole" {
				renderers(doc, inner.Get("practitioner"), depth-1, fn)
			}
		}
		return
	}
	if typ, id, ok := literal(ref); ok && (typ == TypePractitioner || typ == TypePractitionerRole || typ == TypeOrganization) {
		fn(Renderer{Ref: TypeName(typ) + "/" + id})
	}
}

func npiOf(identifier gjson.Result) string {
	if npi := models.CanonicalID(identifier.Get("system").Str + "|" + identifier.Get("value").Str); models.ValidNPI(npi) {
		return npi
	}
	return ""
}

// ProviderNPIs returns the NPIs among the identifiers of a Practitioner, PractitionerRole or Organization, and of a role also
// the practitioner it is of, as Type/id, or by NPI where that is said.
func ProviderNPIs(line []byte) (npis []string, via string) {
	doc := gjson.ParseBytes(line)
	for _, identifier := range doc.Get("identifier").Array() {
		if npi := npiOf(identifier); npi != "" {
			npis = append(npis, npi)
		}
	}
	if doc.Get("resourceType").Str == "PractitionerRole" {
		renderers(doc, doc.Get("practitioner"), 1, func(r Renderer) {
			if r.NPI != "" {
				npis = append(npis, r.NPI)
			}
			via = r.Ref
		})
	}
	return npis, via
}

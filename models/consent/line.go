package consent

import (
	"encoding/json"
	"slices"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// LinesOf returns the lines of business a member with the given Coverages belongs to: those with a selector that fits one which is
// in force or does not say, else the default line. all are the lines there are.
//
// A payor that is told of by a reference alone is known as reference|Organization/id.
func LinesOf(coverages [][]byte, all []models.LineOfBusiness) []models.LineOfBusiness {
	var found []models.LineOfBusiness
	for _, line := range all {
		if slices.ContainsFunc(coverages, func(text []byte) bool { return selects(line.Selectors, text) }) {
			found = append(found, line)
		}
	}
	if len(found) > 0 {
		return found
	}
	return LinesNamed([]string{models.DefaultLine}, all)
}

// LinesNamed returns the lines of business with the given codes, of those there are.
func LinesNamed(codes []string, all []models.LineOfBusiness) []models.LineOfBusiness {
	return slices.DeleteFunc(slices.Clone(all), func(l models.LineOfBusiness) bool { return !slices.Contains(codes, l.Code) })
}

func selects(selectors []models.LineSelector, text []byte) bool {
	if len(selectors) == 0 {
		return false
	}
	var c struct {
		Status    string               `json:"status"`
		Contained []json.RawMessage    `json:"contained"`
		Type      fhir.CodeableConcept `json:"type"`
		Payor     []fhir.Reference     `json:"payor"`
		Class     []struct {
			Type  fhir.CodeableConcept `json:"type"`
			Value string               `json:"value"`
		} `json:"class"`
	}
	if json.Unmarshal(text, &c) != nil || c.Status != "" && c.Status != "active" {
		return false
	}
	contained := actors(c.Contained)
	has := func(s models.LineSelector) bool {
		payor := s.Payor == "" || slices.ContainsFunc(c.Payor, func(r fhir.Reference) bool {
			return "reference|"+r.Reference == s.Payor || slices.Contains(identifiersOf(r, contained), models.CanonicalID(s.Payor))
		})
		kind := s.Type == "" || slices.ContainsFunc(c.Type.Coding, func(coding fhir.Coding) bool { return coding.System+"|"+coding.Code == s.Type })
		class := s.Class == ""
		typ, value, _ := strings.Cut(s.Class, "|")
		for _, cl := range c.Class {
			class = class || cl.Value == value && cl.Type.Has(fhir.SystemCoverageClass, typ)
		}
		return payor && kind && class
	}
	return slices.ContainsFunc(selectors, has)
}

package consent

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
)

// usualList is the clinic's list for treatment.
func usualList() ListTerms {
	return ListTerms{
		Organizations: []string{models.NPISystem + "|" + clinic, "urn:oid:2.16.840.1.113883.4.4|12-3456789"}, Purposes: []string{"TREAT"},
		Holder: []string{us}, Lines: []models.LineOfBusiness{{Code: "default", Lookback: 365, Payers: []string{"urn:line|1"}}}, Directory: directory,
	}
}

func attributed(npi string) models.Attribution {
	return models.Attribution{NPI: npi, Start: noon.AddDate(0, -1, 0)}
}

func TestDecideListed(t *testing.T) {
	t.Parallel()
	treats := func(npi string) models.Relationship {
		return models.Relationship{NPI: npi, Type: models.RelationshipActive, Start: noon.AddDate(-1, 0, 0)}
	}
	type input = ListedInput
	for name, tc := range map[string]struct {
		terms  func(*ListTerms)
		in     input
		want   []bool // which attributions stand; nil for somebody who is hidden
		open   bool
		reason Reason
	}{
		"attributed by the plan":       {in: input{Attributions: []models.Attribution{attributed(doctor)}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"to the organisation":          {in: input{Attributions: []models.Attribution{attributed("")}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"to somebody unheard of":       {in: input{Attributions: []models.Attribution{attributed(stranger)}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"not at all":                   {in: input{}, want: []bool{}, reason: ReasonNotAttributed},
		"inactive":                     {in: input{Attributions: []models.Attribution{{Start: noon.AddDate(0, -1, 0), Inactive: true}}}, want: []bool{false}, reason: ReasonNotAttributed},
		"not yet":                      {in: input{Attributions: []models.Attribution{{Start: noon.Add(1)}}}, want: []bool{false}, reason: ReasonNotAttributed},
		"from now on":                  {in: input{Attributions: []models.Attribution{{Start: noon}}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"until now":                    {in: input{Attributions: []models.Attribution{{Start: noon.Add(-1), End: &noon}}}, want: []bool{false}, reason: ReasonNotAttributed},
		"over with one, not the other": {in: input{Attributions: []models.Attribution{{NPI: other, Start: noon.Add(-1), End: &noon}, attributed(doctor)}}, want: []bool{false, true}, open: true, reason: ReasonPermitted},

		"asked for, unrelated":               {in: input{Attributions: []models.Attribution{asks(doctor)}}, want: []bool{false}, reason: ReasonNotAttributed},
		"asked for, treated by the doctor":   {in: input{Attributions: []models.Attribution{asks(doctor)}, Relationships: []models.Relationship{treats(doctor)}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"asked for, treated by the clinic":   {in: input{Attributions: []models.Attribution{asks(doctor)}, Relationships: []models.Relationship{treats(clinic)}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"asked for by the clinic itself":     {in: input{Attributions: []models.Attribution{asks(clinic)}, Relationships: []models.Relationship{treats(clinic)}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"asked for, treated by a colleague":  {in: input{Attributions: []models.Attribution{asks(doctor)}, Relationships: []models.Relationship{treats(colleague)}}, want: []bool{false}, reason: ReasonNotAttributed},
		"asked for, treated elsewhere":       {in: input{Attributions: []models.Attribution{asks(other)}, Relationships: []models.Relationship{treats(other)}}, want: []bool{false}, reason: ReasonNotAttributed},
		"asked for, by an unknown who would": {in: input{Attributions: []models.Attribution{asks(stranger)}, Relationships: []models.Relationship{treats(stranger)}}, want: []bool{false}, reason: ReasonNotAttributed},

		"opted out of all":             {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutGlobal, "")}}, reason: ReasonOptOutGlobal},
		"and no longer attributed":     {in: input{Attributions: []models.Attribution{{NPI: doctor, Inactive: true}}, OptOuts: []models.OptOut{optOut(models.OptOutGlobal, "")}}, reason: ReasonOptOutGlobal},
		"from the doctor":              {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutProvider, doctor)}}, reason: ReasonOptOutProvider},
		"from a doctor once theirs":    {in: input{Attributions: []models.Attribution{attributed(""), {NPI: other, Inactive: true}}, OptOuts: []models.OptOut{optOut(models.OptOutProvider, other)}}, reason: ReasonOptOutProvider},
		"from a colleague":             {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutProvider, colleague)}}, reason: ReasonOptOutProvider},
		"from the clinic":              {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutProvider, clinic)}}, reason: ReasonOptOutProvider},
		"from its tax number":          {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutProvider, "urn:oid:2.16.840.1.113883.4.4|12-3456789")}}, reason: ReasonOptOutProvider},
		"from one who may be of it":    {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutProvider, stranger)}}, reason: ReasonOptOutProvider},
		"from one elsewhere":           {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutProvider, other)}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"from treatment":               {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutPurpose, "TREAT")}}, reason: ReasonOptOutPurpose},
		"from payment":                 {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutPurpose, "HPAYMT")}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"from payment, for who knows":  {terms: func(l *ListTerms) { l.Purposes = nil }, in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutPurpose, "HPAYMT")}}, reason: ReasonOptOutPurpose},
		"from this payer":              {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutPayer, us)}}, reason: ReasonOptOutPayer},
		"from a line's payer":          {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutPayer, "urn:line|1")}}, reason: ReasonOptOutPayer},
		"from another payer":           {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutPayer, "urn:payer|2")}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"when nobody knows the holder": {terms: func(l *ListTerms) { l.Holder = nil }, in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutPayer, "urn:payer|2")}}, reason: ReasonOptOutPayer},
		"from internists":              {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutCategory, "207R00000X")}}, reason: ReasonOptOutCategory},
		"from hospitals":               {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{optOut(models.OptOutCategory, "282N00000X")}}, want: []bool{true}, open: true, reason: ReasonPermitted},
		"from a kind, of an unknown":   {in: input{Attributions: []models.Attribution{attributed(stranger)}, OptOuts: []models.OptOut{optOut(models.OptOutCategory, "282N00000X")}}, reason: ReasonOptOutCategory},
		"revoked":                      {in: input{Attributions: []models.Attribution{attributed(doctor)}, OptOuts: []models.OptOut{{Scope: models.OptOutGlobal, Start: noon.AddDate(0, -1, 0), RevokedAt: &noon}}}, want: []bool{true}, open: true, reason: ReasonPermitted},
	} {
		terms := usualList()
		if tc.terms != nil {
			tc.terms(&terms)
		}
		tc.in.At = noon
		d := DecideListed(terms, tc.in)
		require.Equal(t, tc.want == nil, d.Hidden, name)
		if tc.want != nil {
			require.Equal(t, tc.want, d.Stands, name)
		}
		require.Equal(t, tc.open, d.Open(), name)
		require.Equal(t, tc.reason, d.Reason, name)
	}
}

func asks(npi string) models.Attribution {
	a := attributed(npi)
	a.Asked = true
	return a
}

// An opt-out more never opens anything, and nor does leaving out what is known of the provider.
func TestListedOptOutsOnlyClose(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		npi := rapid.SampledFrom([]string{"", doctor, colleague, clinic, other, stranger})
		attributions := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) models.Attribution {
			a := models.Attribution{NPI: npi.Draw(t, "npi"), Start: noon.Add(time.Duration(rapid.IntRange(-2, 1).Draw(t, "start")) * time.Hour)}
			a.Inactive, a.Asked = rapid.Bool().Draw(t, "inactive"), rapid.Bool().Draw(t, "asked")
			return a
		}), 0, 3).Draw(t, "attributions")
		outs := rapid.SliceOfN(rapid.SampledFrom([]models.OptOut{
			optOut(models.OptOutGlobal, ""), optOut(models.OptOutProvider, doctor), optOut(models.OptOutProvider, colleague), optOut(models.OptOutProvider, other),
			optOut(models.OptOutPurpose, "TREAT"), optOut(models.OptOutPurpose, "HPAYMT"), optOut(models.OptOutPayer, us), optOut(models.OptOutPayer, "x|y"),
			optOut(models.OptOutCategory, "207R"), optOut(models.OptOutCategory, "282N00000X"),
		}), 0, 4).Draw(t, "opt-outs")
		rels := []models.Relationship{{NPI: npi.Draw(t, "treated by"), Type: models.RelationshipActive, Start: noon.AddDate(-1, 0, 0)}}
		in := ListedInput{At: noon, Attributions: attributions, OptOuts: outs, Relationships: rels}
		full := DecideListed(usualList(), in)
		for i := range outs {
			fewer := in
			fewer.OptOuts = slices.Delete(slices.Clone(outs), i, i+1)
			if less := DecideListed(usualList(), fewer); full.Open() && !less.Open() || !full.Hidden && less.Hidden {
				t.Fatalf("an opt-out opens")
			}
		}
		without := in
		without.Relationships = nil
		if DecideListed(usualList(), without).Open() && !full.Open() {
			t.Fatalf("a relationship closes")
		}
		blind := usualList()
		blind.Directory = nil
		if DecideListed(blind, in).Open() && !full.Open() {
			t.Fatalf("it opens by what is not known")
		}
		if full.Open() && slices.ContainsFunc(outs, func(o models.OptOut) bool { return o.Scope == models.OptOutGlobal }) {
			t.Fatalf("a global opt-out leaves it open")
		}
	})
}

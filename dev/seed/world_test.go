package seed_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/seed"
)

// node is decoded JSON with short ways into it.
type node map[string]any

func decode(t require.TestingT, line []byte) node {
	var n node
	require.NoError(t, json.Unmarshal(line, &n))
	return n
}

func (n node) str(key string) string  { s, _ := n[key].(string); return s }
func (n node) obj(key string) node    { o, _ := n[key].(map[string]any); return o }
func (n node) num(key string) float64 { f, _ := n[key].(float64); return f }

func (n node) list(key string) []node {
	raw, _ := n[key].([]any)
	list := make([]node, len(raw))
	for i := range raw {
		list[i], _ = raw[i].(map[string]any)
	}
	return list
}

func (n node) at(key string, i int) node {
	if list := n.list(key); i < len(list) {
		return list[i]
	}
	return nil
}

// code is the first coding's code of a concept.
func (n node) code() string { return n.at("coding", 0).str("code") }

// world is the demonstration roster, decoded once for all tests, which only read it.
var world = sync.OnceValue(func() map[string][]node {
	o := demo()
	o.TruthIDs = true
	m, _ := generate(panics{}, o)
	all := map[string][]node{}
	for name, b := range m {
		kind, _, _ := strings.Cut(name, ".")
		for line := range bytes.Lines(b.Bytes()) {
			all[kind] = append(all[kind], decode(panics{}, line))
		}
	}
	return all
})

// panics stands in for a test where there is none to fail.
type panics struct{}

func (panics) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (panics) FailNow()                          { panic("failed") }

func resources(t *testing.T, visit func(kind string, r node)) {
	t.Helper()
	for _, kind := range seed.Types() {
		require.NotEmpty(t, world()[kind.String()], kind)
		for _, r := range world()[kind.String()] {
			visit(kind.String(), r)
		}
	}
}

var fhirID = regexp.MustCompile(`^[A-Za-z0-9\-.]{1,64}$`)

func TestResourcesAreWellFormed(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	resources(t, func(kind string, r node) {
		require.Equal(t, kind, r.str("resourceType"))
		require.Regexp(t, fhirID, r.str("id"))
		require.False(t, ids[kind+"/"+r.str("id")], "id used twice")
		ids[kind+"/"+r.str("id")] = true
		require.True(t, strings.HasPrefix(r.obj("meta")["profile"].([]any)[0].(string), "http://hl7.org/fhir/us/"))
		updated, err := time.Parse("2006-01-02T15:04:05.000Z", r.obj("meta").str("lastUpdated"))
		require.NoError(t, err)
		require.True(t, updated.Before(anchor), "updated after the anchor")
		require.NotEmpty(t, r.obj("meta")["profile"])
		noBlanks(t, kind, map[string]any(r))
	})
	resources(t, func(kind string, r node) {
		eachReference(map[string]any(r), func(ref string) {
			if !ids[ref] {
				require.Fail(t, "dangling reference", "%s to %s", kind, ref)
			}
		})
	})
}

// noBlanks fails on what FHIR does not allow: null, "", [] and {}.
func noBlanks(t *testing.T, path string, v any) {
	t.Helper()
	blank := false
	switch v := v.(type) {
	case nil:
		blank = true
	case string:
		blank = strings.TrimSpace(v) == ""
	case []any:
		blank = len(v) == 0
		for _, e := range v {
			noBlanks(t, path, e)
		}
	case map[string]any:
		blank = len(v) == 0
		for k, e := range v {
			noBlanks(t, k, e)
		}
	}
	if blank {
		require.Fail(t, "blank value", path)
	}
}

func eachReference(v any, visit func(string)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			eachReference(e, visit)
		}
	case map[string]any:
		for k, e := range v {
			if ref, ok := e.(string); ok && k == "reference" {
				visit(ref)
			}
			eachReference(e, visit)
		}
	}
}

func TestSizesAreRealistic(t *testing.T) {
	t.Parallel()
	_, s := generate(t, seed.Options{Seed: 5, Members: 400, Anchor: anchor})
	require.InDelta(t, 1500, s.Bytes/int64(s.Resources), 500)
	require.InDelta(t, 105, s.Resources/s.Members, 45)
}

// owner is the id of the patient a resource belongs to, "" for the directory.
func owner(kind string, r node) string {
	for _, key := range []string{"patient", "subject", "beneficiary"} {
		if id, ok := strings.CutPrefix(r.obj(key).str("reference"), "Patient/"); ok {
			return id
		}
	}
	switch kind {
	case "Patient":
		return r.str("id")
	case "Provenance":
		return strings.TrimPrefix(r.at("target", 0).str("reference"), "Patient/")
	}
	return ""
}

// serviceDate is the date of service by FHIR search, written down here apart from the generator.
func serviceDate(kind string, r node) string {
	switch kind {
	case "Encounter", "CarePlan":
		return r.obj("period").str("start")
	case "Condition":
		return r.str("onsetDateTime")
	case "Observation", "DiagnosticReport":
		return r.str("effectiveDateTime")
	case "Procedure":
		return r.obj("performedPeriod").str("start")
	case "Immunization":
		return r.str("occurrenceDateTime")
	case "ExplanationOfBenefit":
		return r.obj("billablePeriod").str("start")
	case "DocumentReference":
		return r.obj("context").obj("period").str("start")
	case "MedicationRequest":
		return r.str("authoredOn")
	case "MedicationDispense":
		return r.str("whenHandedOver")
	case "QuestionnaireResponse":
		return r.str("authored")
	}
	return ""
}

func parseDay(t *testing.T, s string) time.Time {
	d, err := time.Parse(time.DateOnly, s[:10])
	require.NoError(t, err)
	return d
}

func TestDatesAreInOrder(t *testing.T) {
	t.Parallel()
	born := map[string]time.Time{}
	for _, p := range world()["Patient"] {
		born[p.str("id")] = parseDay(t, p.str("birthDate"))
		require.True(t, born[p.str("id")].Before(anchor))
	}
	limit := anchor.AddDate(-seed.LookbackYears, 0, 0)
	oldest := anchor
	resources(t, func(kind string, r node) {
		if id := owner(kind, r); id != "" {
			require.False(t, parseDay(t, r.obj("meta").str("lastUpdated")).Before(born[id]), "%s known before birth", kind)
		}
		s := serviceDate(kind, r)
		if s == "" {
			return
		}
		on := parseDay(t, s)
		require.False(t, on.Before(born[owner(kind, r)]), "%s before birth", kind)
		require.True(t, on.Before(anchor), "%s on or after the anchor", kind)
		updated := parseDay(t, r.obj("meta").str("lastUpdated"))
		require.False(t, updated.Before(on), "%s updated before it happened", kind)
		if r.str("use") != "preauthorization" {
			require.Greater(t, on.Sub(limit).Abs(), 44*24*time.Hour, "%s too near the limit", kind)
		}
		if on.Before(oldest) {
			oldest = on
		}
	})
	require.Less(t, oldest.Year(), anchor.Year()-6)
}

func TestTruthAgreesWithTheFiles(t *testing.T) {
	t.Parallel()
	type classes struct{ counts, older, sensitive, olderSensitive, auths map[string]int }
	found := map[string]*classes{}
	ids := map[string]map[string][]string{}
	attached := map[string]bool{} // documents of prior authorisations
	for _, r := range world()["ExplanationOfBenefit"] {
		if r.str("use") != "preauthorization" {
			continue
		}
		for _, info := range r.list("supportingInfo") {
			attached[info.obj("valueReference").str("reference")] = true
		}
	}
	resources(t, func(kind string, r node) {
		id := owner(kind, r)
		if id == "" {
			return
		}
		c := found[id]
		if c == nil {
			c = &classes{map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}}
			found[id], ids[id] = c, map[string][]string{}
		}
		c.counts[kind]++
		ids[id][kind] = append(ids[id][kind], r.str("id"))
		if r.str("use") == "preauthorization" || attached[kind+"/"+r.str("id")] {
			c.auths[kind]++
			return
		}
		on := serviceDate(kind, r)
		old := on != "" && parseDay(t, on).Before(anchor.AddDate(-seed.LookbackYears, 0, 0))
		labelled := false
		for _, s := range r.obj("meta").list("security") {
			labelled = labelled || strings.HasSuffix(s.str("system"), "v3-ActCode")
		}
		if old {
			c.older[kind]++
		}
		if labelled {
			c.sensitive[kind]++
		}
		if old && labelled {
			c.olderSensitive[kind]++
		}
	})
	require.Len(t, world()["truth"], seed.DemoMembers)
	for _, line := range world()["truth"] {
		raw, err := json.Marshal(line)
		require.NoError(t, err)
		var truth seed.MemberTruth
		require.NoError(t, json.Unmarshal(raw, &truth))
		c := found[truth.Patient]
		require.NotNil(t, c)
		auths := map[string]int{}
		for scenario, counts := range truth.PriorAuths {
			require.Contains(t, seed.PriorAuthScenarios(), scenario)
			for kind, n := range counts {
				auths[kind] += n
			}
		}
		require.Equal(t, c.counts, truth.Counts)
		require.Equal(t, ids[truth.Patient], truth.IDs)
		for want, got := range map[*map[string]int]map[string]int{&c.older: truth.Older, &c.sensitive: truth.Sensitive, &c.olderSensitive: truth.OlderSensitive, &c.auths: auths} {
			if len(*want)+len(got) > 0 {
				require.Equal(t, *want, got)
			}
		}
		for kind, n := range truth.OlderOngoing {
			require.LessOrEqual(t, n, truth.Older[kind])
		}
		delete(found, truth.Patient)
	}
	require.Empty(t, found, "resources of people who are not on the roster")
}

func TestDemoHoldsEveryCase(t *testing.T) {
	t.Parallel()
	scenarios, labels := map[string]int{}, map[string]int{}
	for _, line := range world()["truth"] {
		for s := range line.obj("priorAuths") {
			scenarios[s]++
		}
	}
	resources(t, func(_ string, r node) {
		for _, s := range r.obj("meta").list("security") {
			labels[s.str("code")]++
		}
	})
	for _, s := range seed.PriorAuthScenarios() {
		require.GreaterOrEqual(t, scenarios[s], 3, s)
	}
	for _, label := range []string{"SUD", "ETH", "HIV", "PSY", "R", "N"} {
		require.Positive(t, labels[label], label)
	}
}

func TestNPIsPassTheCheckAndAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, kind := range []string{"Organization", "Practitioner"} {
		for _, r := range world()[kind] {
			id := r.at("identifier", 0)
			require.Equal(t, seed.NPISystem, id.str("system"))
			npi := id.str("value")
			require.Regexp(t, `^[12][0-9]{9}$`, npi)
			require.True(t, luhnValid("80840"+npi), npi)
			require.False(t, seen[npi], npi)
			seen[npi] = true
		}
	}
	for _, npi := range []string{seed.PayerNPI, seed.RequesterNPI, seed.BystanderNPI} {
		require.True(t, seen[npi])
	}
}

func luhnValid(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			d = d*2/10 + d*2%10
		}
		sum += d
	}
	return sum%10 == 0
}

func TestLettersArePDFs(t *testing.T) {
	t.Parallel()
	letters := 0
	for _, r := range world()["DocumentReference"] {
		a := r.at("content", 0).obj("attachment")
		content, err := base64.StdEncoding.DecodeString(a.str("data"))
		require.NoError(t, err)
		require.InDelta(t, len(content), a.num("size"), 0)
		if a.str("contentType") != "application/pdf" {
			continue
		}
		letters++
		doc := string(content)
		require.True(t, strings.HasPrefix(doc, "%PDF-1.4\n"))
		var start int
		_, err = fmt.Sscanf(doc[strings.LastIndex(doc, "startxref\n"):], "startxref\n%d\n", &start)
		require.NoError(t, err)
		entries := strings.Split(doc[start:], "\n")
		require.Equal(t, "xref", entries[0])
		for n := 1; n <= 5; n++ {
			var at int
			_, err := fmt.Sscanf(entries[2+n], "%d", &at)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(doc[at:], fmt.Sprintf("%d 0 obj", n)))
		}
	}
	require.Positive(t, letters)
}

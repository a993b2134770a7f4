package seed_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"pdexbulk/dev/seed"
)

type asked struct {
	patient, coverage, consent, link node
	truth                            seed.RequestTruth
}

func request(t *testing.T, o seed.Options, ro seed.RequestOptions) ([]asked, seed.RequestSummary) {
	t.Helper()
	var body, truth bytes.Buffer
	s, err := seed.WriteRequest(&body, &truth, o, ro)
	require.NoError(t, err)
	params := decode(t, body.Bytes())
	require.Equal(t, "Parameters", params.str("resourceType"))
	require.Regexp(t, fhirID, params.str("id"))
	var list []asked
	for _, b := range params.list("parameter") {
		require.Equal(t, "MemberBundle", b.str("name"))
		var a asked
		for _, part := range b.list("part") {
			r := part.obj("resource")
			noBlanks(t, part.str("name"), map[string]any(r))
			switch part.str("name") {
			case "MemberPatient":
				a.patient = r
			case "CoverageToMatch":
				a.coverage = r
			case "Consent":
				a.consent = r
			case "CoverageToLink":
				a.link = r
			default:
				require.Fail(t, "unknown part")
			}
		}
		list = append(list, a)
	}
	dec := json.NewDecoder(&truth)
	dec.DisallowUnknownFields()
	for i := range list {
		require.NoError(t, dec.Decode(&list[i].truth))
		require.Equal(t, i, list[i].truth.Index)
	}
	require.False(t, dec.More())
	require.Len(t, list, ro.Members)
	return list, s
}

// plan is a roster with hardly any clinical data, for requests.
var plan = seed.Options{Seed: 11, Members: 1200, Anchor: anchor, Density: 0.01}

// enrolled returns the Patients and Coverages of plan.
var enrolled = sync.OnceValues(func() (patients, coverages []node) {
	m, _ := generate(panics{}, plan)
	for line := range bytes.Lines(m["Patient.ndjson"].Bytes()) {
		patients = append(patients, decode(panics{}, line))
	}
	for line := range bytes.Lines(m["Coverage.ndjson"].Bytes()) {
		coverages = append(coverages, decode(panics{}, line))
	}
	return patients, coverages
})

// normal is what the clean mix promises a matcher may compare by.
func normal(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return -1
		}
		return unicode.ToLower(c)
	}, norm.NFD.String(s))
}

func normalID(s string) string { return strings.TrimLeft(normal(s), "0") }

// index finds members by normalised names, birth date and id.
func index(t *testing.T, patients, coverages []node) map[string][]string {
	t.Helper()
	who := map[string]string{}
	for _, p := range patients {
		n := p.at("name", 0)
		who[p.str("id")] = normal(n.str("family")) + "|" + normal(n["given"].([]any)[0].(string)) + "|" + p.str("birthDate") + "|"
	}
	found := map[string][]string{}
	add := func(key, id string) {
		if !slices.Contains(found[key], id) {
			found[key] = append(found[key], id)
		}
	}
	for _, c := range coverages {
		id := strings.TrimPrefix(c.obj("beneficiary").str("reference"), "Patient/")
		require.Contains(t, who, id)
		add(who[id]+"m"+normalID(c.at("identifier", 0).str("value")), id)
		add(who[id]+"s"+normalID(c.str("subscriberId")), id)
	}
	return found
}

func (a *asked) find(members map[string][]string) []string {
	n := a.patient.at("name", 0)
	key := normal(n.str("family")) + "|" + normal(n["given"].([]any)[0].(string)) + "|" + a.patient.str("birthDate") + "|"
	if id := a.coverage.at("identifier", 0).str("value"); id != "" {
		return members[key+"m"+normalID(id)]
	}
	return members[key+"s"+normalID(a.coverage.str("subscriberId"))]
}

// carries is the consent check of the decision tree.
func (a *asked) carries(t *testing.T) bool {
	p := a.consent.obj("provision")
	if !parseDay(t, p.obj("period").str("end")).After(anchor) || parseDay(t, p.obj("period").str("start")).After(anchor) {
		return false
	}
	uri := a.consent.at("policy", 0).str("uri")
	if uri != seed.PolicyRegular && uri != seed.PolicySensitive {
		return false
	}
	for _, actor := range p.list("actor") {
		if actor.obj("role").code() == "IRCP" && actor.obj("reference").obj("identifier").str("value") == seed.RequesterNPI {
			return true
		}
	}
	return false
}

func TestAnExactMatcherSolvesACleanRequest(t *testing.T) {
	t.Parallel()
	patients, coverages := enrolled()
	members := index(t, patients, coverages)
	list, summary := request(t, plan, seed.RequestOptions{Members: 900, Clean: true})
	kinds := map[seed.Kind]int{}
	got := seed.RequestSummary{}
	for _, a := range list {
		kinds[a.truth.Kind]++
		hits := a.find(members)
		require.LessOrEqual(t, len(hits), 1, a.truth.Kind)
		switch {
		case len(hits) == 0:
			got.NoMatch++
			require.Equal(t, seed.NoMatch, a.truth.Expect, a.truth.Kind)
		case a.carries(t):
			got.Matched++
			require.Equal(t, seed.Matched, a.truth.Expect, a.truth.Kind)
			require.Equal(t, hits[0], a.truth.Patient)
		default:
			got.Constrained++
			require.Equal(t, seed.Constrained, a.truth.Expect, a.truth.Kind)
			require.Equal(t, hits[0], a.truth.Patient)
		}
	}
	require.Equal(t, summary, got)
	for _, kind := range []seed.Kind{
		seed.KindExact, seed.KindCase, seed.KindPunctuation, seed.KindDiacritics, seed.KindSpace, seed.KindIDHyphen, seed.KindIDZeros, seed.KindMissing,
		seed.KindStranger, seed.KindAbsentTwin, seed.KindAbsentRelative, seed.KindExpired, seed.KindOtherPayer, seed.KindNoConsent,
	} {
		require.Positive(t, kinds[kind], kind)
	}
	require.Len(t, kinds, 14)
}

func TestARequestKeepsToItsTruth(t *testing.T) {
	t.Parallel()
	roster := map[string]node{}
	subscribers := map[string]bool{}
	patients, _ := enrolled()
	for _, p := range patients {
		roster[p.str("id")] = p
		subscribers[memberSubscriber(p)] = true
	}
	list, _ := request(t, plan, seed.RequestOptions{Seed: 1, Members: 900})
	kinds, seen, policies := map[seed.Kind]int{}, map[string]bool{}, map[string]int{}
	for _, a := range list {
		kinds[a.truth.Kind]++
		policies[a.truth.Policy]++
		require.Equal(t, a.truth.Kind.Outcome(), a.truth.Expect)
		require.Equal(t, a.truth.Submitted, a.patient.str("id"))
		require.NotContains(t, roster, a.patient.str("id"), "the requester uses our id")
		require.False(t, seen[a.patient.str("id")])
		seen[a.patient.str("id")] = true
		if a.truth.Expect == seed.NoMatch {
			require.Empty(t, a.truth.Patient)
		} else {
			require.Contains(t, roster, a.truth.Patient)
			require.False(t, seen[a.truth.Patient], "asked about twice")
			seen[a.truth.Patient] = true
			require.Equal(t, a.truth.Expect == seed.Matched, a.carries(t))
		}
		near := roster[a.truth.Near]
		switch a.truth.Kind {
		case seed.KindAbsentTwin:
			require.Equal(t, near.str("birthDate"), a.patient.str("birthDate"))
			require.True(t, subscribers[a.coverage.str("subscriberId")])
		case seed.KindAbsentRelative:
			require.True(t, subscribers[a.coverage.str("subscriberId")])
		case seed.KindLookalike:
			require.Equal(t, near.at("name", 0).str("family"), a.patient.at("name", 0).str("family"))
			require.Equal(t, near.str("birthDate"), a.patient.str("birthDate"))
			require.False(t, subscribers[a.coverage.str("subscriberId")])
		case seed.KindStranger, seed.KindNoConsent:
			require.False(t, subscribers[a.coverage.str("subscriberId")])
		case seed.KindTypo, seed.KindSwapped, seed.KindNickname, seed.KindSurname:
			require.NotEqual(t, roster[a.truth.Patient].list("name")[0], a.patient.list("name")[0])
		case seed.KindMoved:
			require.NotEqual(t, roster[a.truth.Patient].at("address", 0).str("line"), a.patient.at("address", 0).str("line")+"x")
			require.NotEqual(t, roster[a.truth.Patient].at("address", 0)["line"], a.patient.at("address", 0)["line"])
		case seed.KindSparse:
			require.NotContains(t, a.patient, "address")
			require.NotContains(t, a.coverage, "identifier")
		}
	}
	require.Len(t, kinds, 23)
	require.InDelta(t, 0.3, float64(policies["regular"])/900, 0.06)
}

func memberSubscriber(p node) string {
	id := p.at("identifier", 0).str("value")
	return id[:len(id)-2]
}

func TestABundleIsWhatTheProfilesAskFor(t *testing.T) {
	t.Parallel()
	list, _ := request(t, demo(), seed.RequestOptions{Members: 60, Regular: -1})
	links := 0
	for _, a := range list {
		require.NotEmpty(t, a.patient.at("name", 0).str("family"))
		require.NotEmpty(t, a.patient.at("name", 0)["given"])
		require.NotEmpty(t, a.patient.str("gender"))
		require.Equal(t, "active", a.coverage.str("status"))
		require.Len(t, a.coverage.list("payor"), 1)
		require.Contains(t, []string{seed.PayerNPI, seed.PayerNAIC}, a.coverage.at("payor", 0).obj("identifier").str("value"))
		require.NotEmpty(t, a.coverage.at("identifier", 0).str("value")+a.coverage.str("subscriberId"))
		me := "Patient/" + a.patient.str("id")
		require.Equal(t, me, a.coverage.obj("beneficiary").str("reference"))
		require.Equal(t, "active", a.consent.str("status"))
		require.Equal(t, "patient-privacy", a.consent.obj("scope").code())
		require.Equal(t, "IDSCL", a.consent.at("category", 0).code())
		require.Equal(t, me, a.consent.obj("patient").str("reference"))
		require.NotEmpty(t, a.consent.obj("sourceReference").str("reference"))
		p := a.consent.obj("provision")
		require.Equal(t, "permit", p.str("type"))
		require.Equal(t, "disclose", p.at("action", 0).code())
		require.Equal(t, "performer", p.at("actor", 0).obj("role").code())
		require.Equal(t, seed.PayerNPI, p.at("actor", 0).obj("reference").obj("identifier").str("value"))
		require.NotEqual(t, "regular", a.truth.Policy)
		if a.link != nil {
			links++
			require.Contains(t, []string{seed.RequesterNPI, seed.RequesterNAIC}, a.link.at("payor", 0).obj("identifier").str("value"))
		}
	}
	require.Positive(t, links)
	require.Less(t, links, 60)
}

func TestRequestsAreFixedAndTellTheirSeedsApart(t *testing.T) {
	t.Parallel()
	write := func(key uint64) string {
		var body bytes.Buffer
		_, err := seed.WriteRequest(&body, io.Discard, demo(), seed.RequestOptions{Seed: key, Members: 50})
		require.NoError(t, err)
		return body.String()
	}
	sum := sha256.Sum256([]byte(write(1)))
	require.Equal(t, "c9faeefe7b46e3a25e6be6f28ef8b7d5156c4dbfc57c7c9efc6865eed12e9bf5", hex.EncodeToString(sum[:])) // changes with the generator only, as in TestBytesAreFixed
	require.NotEqual(t, write(1), write(2))
}

func TestStrangersTakeOverWhenTheRosterIsUsedUp(t *testing.T) {
	t.Parallel()
	o := seed.Options{Seed: 2, Members: 30, Anchor: anchor}
	list, s := request(t, o, seed.RequestOptions{Members: 200, Clean: true})
	require.LessOrEqual(t, s.Matched+s.Constrained, 30)
	require.Greater(t, s.Matched+s.Constrained, 25)
	require.Equal(t, 200, s.Matched+s.Constrained+s.NoMatch)
	require.Equal(t, seed.KindStranger, list[len(list)-1].truth.Kind)
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestWriteRequestReportsFailures(t *testing.T) {
	t.Parallel()
	ro := seed.RequestOptions{Members: 1}
	_, err := seed.WriteRequest(broken{}, io.Discard, demo(), ro)
	require.ErrorContains(t, err, "write request")
	_, err = seed.WriteRequest(io.Discard, broken{}, demo(), ro)
	require.ErrorContains(t, err, "write request truth")
	ro.Members = 2000
	_, err = seed.WriteRequest(broken{}, io.Discard, demo(), ro)
	require.ErrorContains(t, err, "write request")
	for _, ro := range []seed.RequestOptions{{}, {Members: 1, Regular: 1.5}} {
		_, err = seed.WriteRequest(io.Discard, io.Discard, demo(), ro)
		require.Error(t, err)
	}
}

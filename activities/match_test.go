package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// ask is one person of a match request under test.
type ask struct {
	patient  string // the requester's resource; "" for that of ourPerson(n)
	coverage string
	consent  string
}

// person is the body of a Patient that everybody's systems agree on.
func person(id string, n int) string {
	return fmt.Sprintf(`{"resourceType":"Patient","id":"%s","name":[{"family":"Family%c","given":["Given%c"]}],"gender":"female","birthDate":"1980-01-%02d"}`, id, 'a'+n, 'a'+n, 1+n)
}

func card(id, beneficiary, number string) string {
	return fmt.Sprintf(`{"resourceType":"Coverage","id":"%s","status":"active","beneficiary":{"reference":"Patient/%s"},"subscriberId":"%s","relationship":{"coding":[{"code":"self"}]},"payor":[{"display":"x"}]}`, id, beneficiary, number)
}

// agreed is a consent for our holder to send to the requester.
func agreed(policy, start, end string) string {
	actor := func(system, code, npi string) string {
		return fmt.Sprintf(`{"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/%s","code":"%s"}]},"reference":{"identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"%s"}}}`, system, code, npi)
	}
	return `{"resourceType":"Consent","id":"c","status":"active","patient":{"reference":"Patient/unresolved"},"policy":[{"uri":"` + policy + `"}],` +
		`"provision":{"type":"permit","period":{"start":"` + start + `","end":"` + end + `"},"actor":[` +
		actor("provenance-participant-type", "performer", "9876543210") + "," + actor("v3-ParticipationType", "IRCP", "0123456789") + `]}}`
}

func agreement() string { return agreed(fhir.PolicyRegular, "2026-01-01", "2027-12-31") }

// submit stores a match request, cut into slices of a few people, and returns its job.
func (b *bundle) submit(slice int, asks []ask, foreign ...int32) (id string, params models.MatchParams) {
	b.t.Helper()
	params = models.MatchParams{
		Members: len(asks), GroupID: models.NewID(), Organizations: []string{requesterID}, RequesterName: "New Health Plan", Foreign: foreign,
		BlobKey: "matches/request." + models.NewID(),
	}
	var text strings.Builder
	var slices []store.Slice
	for i, a := range asks {
		if i%slice == 0 {
			slices = append(slices, store.Slice{Slice: len(slices), First: i, Offset: int64(text.Len())})
		}
		line, err := json.Marshal(match.Submission{Patient: json.RawMessage(a.patient), Coverage: json.RawMessage(a.coverage), Consent: json.RawMessage(a.consent)})
		require.NoError(b.t, err)
		text.Write(append(line, '\n'))
		s := &slices[len(slices)-1]
		s.Members++
		s.Length = int64(text.Len()) - s.Offset
	}
	w, err := b.Files.Create(b.t.Context(), params.BlobKey)
	require.NoError(b.t, err)
	_, err = io.WriteString(w, text.String())
	require.NoError(b.t, err)
	require.NoError(b.t, w.Commit())
	job := b.newJob(models.OpBulkMemberMatch, params)
	id = job.ID
	_, created, err := b.Store.CreateMatch(b.t.Context(), job, slices, 0)
	require.NoError(b.t, err)
	require.True(b.t, created)
	plan := must[MatchPlan](b.t, b.PrepareMatch, id)
	require.Equal(b.t, MatchPlan{Client: "client", Operation: models.OpBulkMemberMatch, Slices: len(slices), Members: int64(len(asks))}, plan)
	return id, params
}

// result is what a match published.
type result struct {
	done       Published
	groups     map[string]fhir.Group // by outcome code
	lines      map[string]string     // Group lines by outcome code
	parameters fhir.Parameters
	outcomes   []store.Outcome
}

// answer matches every slice, publishes, and checks what must hold of any answer.
func (b *bundle) answer(id string, params models.MatchParams) result {
	b.t.Helper()
	cut, err := b.Store.Slices(b.t.Context(), id)
	require.NoError(b.t, err)
	for _, s := range cut {
		require.EqualValues(b.t, s.Members, must[int64](b.t, b.MatchSlice, SliceInput{id, s.Slice}))
	}
	return b.publishMatch(id, params)
}

func (b *bundle) publishMatch(id string, params models.MatchParams) result {
	b.t.Helper()
	r := result{groups: map[string]fhir.Group{}, lines: map[string]string{}}
	r.done = must[Published](b.t, b.PublishMatch, id)
	require.Equal(b.t, r.done, must[Published](b.t, b.PublishMatch, id), "a second attempt says the same")
	job, err := b.Store.Job(b.t.Context(), id)
	require.NoError(b.t, err)
	require.Equal(b.t, models.StateCompleted, job.State)
	require.Empty(b.t, job.Accounting.Check())
	require.EqualValues(b.t, params.Members, job.Accounting.Members)

	files, lines := b.files(id)
	require.Len(b.t, files, 2)
	require.Len(b.t, lines["Parameters"], 1)
	r.parameters, err = fhir.ParseParameters([]byte(lines["Parameters"][0]))
	require.NoError(b.t, err)
	require.Equal(b.t, []string{matchOutProfile}, r.parameters.Meta.Profile)
	inParameters := map[string]string{}
	for _, p := range r.parameters.Parameter {
		inParameters[p.Name] = string(p.Resource)
	}
	seats := 0
	for _, line := range lines["Group"] {
		require.NoError(b.t, fhir.Check([]byte(line)))
		g, err := fhir.ParseGroup([]byte(line))
		require.NoError(b.t, err)
		code := g.Code.Coding[0].Code
		require.NotContains(b.t, r.groups, code)
		r.groups[code], r.lines[code] = g, line
		seats += len(g.Member)
		b.requireGroup(line, g)
	}
	require.Equal(b.t, params.Members, seats, "everybody is in exactly one Group")
	names := map[string]string{"match": "MatchedMembers", "nomatch": "NonMatchedMembers", "consentconstraint": "ConsentConstrainedMembers"}
	require.Len(b.t, inParameters, len(r.groups))
	for code, line := range r.lines {
		require.Equal(b.t, line, inParameters[names[code]], "MD-02: the same Groups in both files")
	}
	require.Contains(b.t, r.groups, "match", "BK-02")
	require.NoError(b.t, b.Store.Outcomes(b.t.Context(), id, 0, 1000, func(o store.Outcome) error {
		require.EqualValues(b.t, len(r.outcomes), o.Idx)
		r.outcomes = append(r.outcomes, o)
		return nil
	}))
	require.Len(b.t, r.outcomes, params.Members)
	b.requireMatched(job, params, r)
	return r
}

// requireGroup checks one Group by itself (BK-06, BK-08, BK-10).
func (b *bundle) requireGroup(line string, g fhir.Group) {
	b.t.Helper()
	require.Equal(b.t, "person", g.Type)
	require.True(b.t, g.Actual)
	require.Equal(b.t, len(g.Member), *g.Quantity)
	require.Equal(b.t, "urn:uuid:"+g.ID, g.Identifier[0].Value)
	require.Equal(b.t, "9876543210", g.ManagingEntity.Identifier.Value)
	var raw map[string]any
	require.NoError(b.t, json.Unmarshal([]byte(line), &raw))
	for _, list := range []string{"contained", "member"} {
		if l, there := raw[list]; there {
			require.NotEmpty(b.t, l, "no empty lists")
		}
	}
	contained := map[string]map[string]any{}
	if all, there := raw["contained"]; there {
		for _, c := range all.([]any) {
			c := c.(map[string]any)
			id := c["id"].(string)
			require.NotContains(b.t, contained, id, "two contained resources of one id")
			contained[id] = c
			require.NotContains(b.t, c, "contained")
			if meta, ok := c["meta"].(map[string]any); ok {
				require.NotEmpty(b.t, meta)
				for _, gone := range []string{"versionId", "lastUpdated", "security"} {
					require.NotContains(b.t, meta, gone)
				}
			}
		}
	}
	referred := map[string]bool{}
	for _, m := range g.Member {
		for i, e := range m.Entity.Extension {
			url, typ := matchParameters, "Patient"
			if i == 1 {
				url, typ = matchCoverage, "Coverage"
			}
			require.Equal(b.t, url, e.URL)
			id, ok := strings.CutPrefix(e.ValueReference.Reference, "#")
			require.True(b.t, ok)
			require.Equal(b.t, typ, contained[id]["resourceType"], id)
			referred[id] = true
		}
		require.NotEmpty(b.t, m.Entity.Extension)
		if g.Code.Coding[0].Code == "match" {
			require.True(b.t, strings.HasPrefix(m.Entity.Reference, "Patient/"))
		} else {
			require.Equal(b.t, m.Entity.Extension[0].ValueReference.Reference, m.Entity.Reference, "BK-17: our ids are not told")
		}
	}
	require.Len(b.t, referred, len(contained), "nothing is contained for nobody")
}

// requireMatched holds the matched Group against what is stored of it.
func (b *bundle) requireMatched(job *models.Job, params models.MatchParams, r result) {
	b.t.Helper()
	g := r.groups["match"]
	require.Equal(b.t, params.GroupID, g.ID)
	require.Equal(b.t, []string{matchGroup}, g.Meta.Profile)
	require.Len(b.t, g.Characteristic, 1)
	require.Equal(b.t, "match", g.Characteristic[0].Code.Coding[0].Code)
	require.Equal(b.t, "0123456789", g.Characteristic[0].ValueReference.Identifier.Value)
	require.False(b.t, g.Characteristic[0].Exclude)
	require.Equal(b.t, job.CreatedAt.UTC().Format(time.DateOnly), g.Characteristic[0].Period.Start)

	row, err := b.Store.OwnGroup(b.t.Context(), "client", params.GroupID)
	require.NoError(b.t, err)
	require.EqualValues(b.t, len(g.Member), row.Members)
	body, err := b.Files.ReadRange(b.t.Context(), row.BlobKey, 0, -1)
	require.NoError(b.t, err)
	defer body.Close()
	text, err := io.ReadAll(body)
	require.NoError(b.t, err)
	require.Equal(b.t, r.lines["match"], strings.TrimSuffix(string(text), "\n"), "the Group by its id is the Group of the file")
	members := map[uuid.UUID]bool{}
	for i, m := range g.Member {
		require.NotEmpty(b.t, m.Entity.Extension, i)
		members[models.MemberID(strings.TrimPrefix(m.Entity.Reference, "Patient/"))] = true
	}
	require.Equal(b.t, len(members), b.count("group_members WHERE group_id = $1", params.GroupID))
	_, err = b.Store.OwnGroup(b.t.Context(), "another", params.GroupID)
	require.Equal(b.t, models.KindNotFound, models.KindOf(err))
}

// members loads n people, each with a card.
func (b *bundle) members(n int) {
	b.t.Helper()
	var text strings.Builder
	for i := range n {
		text.WriteString(person(fmt.Sprintf("our-%d", i), i) + "\n" + card(fmt.Sprintf("cov-%d", i), fmt.Sprintf("our-%d", i), fmt.Sprintf("W12345%d", i)) + "\n")
	}
	b.loadText(text.String(), models.ImportLive)
	b.pass(time.Minute)
}

func theirs(n int) ask {
	id := fmt.Sprintf("their-%d", n)
	return ask{person(id, n), card("their-cov", id, fmt.Sprintf("W12345%d", n)), agreement()}
}

func TestMatchBuckets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(6)
	matched, nobody, constrained := theirs(0), theirs(20), theirs(1)
	constrained.consent = agreed(fhir.PolicyRegular, "2020-01-01", "2020-12-31")
	noPatient := ask{`{"resourceType":"Patient","id":"odd","name":"not a list"}`, matched.coverage, agreement()}
	noCoverage := ask{person("odd-2", 2), `{"resourceType":"Coverage","id":"x","identifier":7}`, agreement()}
	for name, tc := range map[string]struct {
		asks []ask
		want map[string]int
	}{
		"one matched":           {[]ask{matched}, map[string]int{"match": 1}},
		"none":                  {[]ask{nobody}, map[string]int{"match": 0, "nomatch": 1}},
		"only constrained":      {[]ask{constrained}, map[string]int{"match": 0, "consentconstraint": 1}},
		"one of each":           {[]ask{nobody, constrained, matched}, map[string]int{"match": 1, "nomatch": 1, "consentconstraint": 1}},
		"many":                  {[]ask{theirs(0), theirs(1), theirs(2), nobody, theirs(3), constrained, theirs(21), theirs(22)}, map[string]int{"match": 4, "nomatch": 3, "consentconstraint": 1}},
		"an unreadable Patient": {[]ask{noPatient, matched}, map[string]int{"match": 1, "nomatch": 1}},
		"unreadable coverage":   {[]ask{noCoverage, matched}, map[string]int{"match": 1, "nomatch": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, params := b.submit(3, tc.asks)
			r := b.answer(id, params)
			got := map[string]int{}
			for code, g := range r.groups {
				got[code] = len(g.Member)
			}
			require.Equal(t, tc.want, got)
			for _, code := range []string{"nomatch", "consentconstraint"} {
				if g, there := r.groups[code]; there {
					require.Equal(t, []string{noMatchGroup}, g.Meta.Profile)
					require.Empty(t, g.Characteristic)
					for _, o := range r.outcomes {
						require.NotContains(t, r.lines[code], `"`+o.Reason+`"`, "CF-04: no reasons")
					}
				}
			}
		})
	}
}

func TestMatchedConsentIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(3)
	wide, narrow := theirs(0), theirs(0)
	wide.consent = agreed(fhir.PolicySensitive, "2026-01-01", "2028-12-31")
	narrow.consent = agreed(fhir.PolicyRegular, "2026-06-01", "2027-06-30")
	foreign := theirs(2)
	id, params := b.submit(1, []ask{wide, theirs(1), narrow, foreign}, 3)
	r := b.answer(id, params)
	require.Len(t, r.groups["match"].Member, 3)
	require.Len(t, r.groups["consentconstraint"].Member, 1, "D-06: a Consent about another Patient of the request")
	var policy string
	var start, end time.Time
	require.NoError(t, b.Store.Pool.QueryRow(t.Context(), `SELECT policy, consent_start, consent_end FROM group_members WHERE group_id = $1 AND member_id = $2`,
		params.GroupID, models.MemberID("our-0")).Scan(&policy, &start, &end))
	require.Equal(t, consent.PolicyRegular, policy, "the narrowest of both")
	require.Equal(t, "2026-06-01", start.UTC().Format(time.DateOnly))
	require.Equal(t, "2027-07-01", end.UTC().Format(time.DateOnly))
}

func TestContainedResources(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(4)
	full := theirs(0)
	full.patient = strings.Replace(full.patient, `"id"`, `"meta":{"versionId":"3","lastUpdated":"2020-01-01T00:00:00Z","security":[{"code":"R"}],"profile":["http://example.org/p"]},`+
		`"contained":[{"resourceType":"Organization","id":"o"}],"telecom":[{"value":"<&> \u2028 1.00"}],"extension":[{"url":"x","valueDecimal":1.10}],"id"`, 1)
	bare := theirs(1)
	bare.patient = strings.Replace(bare.patient, `"id"`, `"meta":{"versionId":"3"},"id"`, 1)
	same := theirs(2) // the same Patient with another card
	same.coverage = card("second-cov", "their-2", "W999999")
	collide := theirs(3) // another Patient with an id that is taken
	collide.patient = strings.Replace(collide.patient, "their-3", "their-2", 1)
	mean := theirs(25) // and one with the id that would be chosen instead
	mean.patient = strings.Replace(person("submitted-Patient-5", 25), `"gender":"female",`, "", 1)
	again := theirs(26)
	again.patient = strings.Replace(person("submitted-Patient-5", 26), `"gender":"female",`, "", 1)
	anonymous := ask{`{"resourceType":"Patient","name":[{"family":"X"}]}`, card("c", "", "W000"), agreement()}
	id, params := b.submit(2, []ask{full, bare, theirs(2), same, collide, again, mean, anonymous})
	r := b.answer(id, params)
	matched := r.groups["match"]
	ids := func(m fhir.GroupMember) []string {
		var out []string
		for _, e := range m.Entity.Extension {
			out = append(out, e.ValueReference.Reference)
		}
		return out
	}
	var got [][]string
	for _, m := range matched.Member {
		got = append(got, append([]string{m.Entity.Reference}, ids(m)...))
	}
	require.Equal(t, [][]string{
		{"Patient/our-0", "#their-0"},
		{"Patient/our-1", "#their-1"},
		{"Patient/our-2", "#their-2", "#their-cov"},
		{"Patient/our-3", "#submitted-Patient-4", "#submitted-Coverage-4"},
	}, got)
	require.Equal(t, []string{"#their-2", "#second-cov"}, ids(r.groups["nomatch"].Member[0]), "BK-11: which coverage it was")

	contained := func(g fhir.Group, id string) map[string]any {
		for _, c := range g.Contained {
			if resourceID(c) == id {
				var m map[string]any
				require.NoError(t, json.Unmarshal(c, &m))
				return m
			}
		}
		require.Fail(t, "not contained", id)
		return nil
	}
	var want map[string]any
	require.NoError(t, json.Unmarshal([]byte(full.patient), &want))
	delete(want, "contained")
	want["meta"] = map[string]any{"profile": []any{"http://example.org/p"}}
	require.Equal(t, want, contained(matched, "their-0"), "BK-09: nothing else is changed")
	require.Contains(t, r.lines["match"], `"valueDecimal":1.10`, "numbers keep their digits")
	require.NotContains(t, contained(matched, "their-1"), "meta")
}

func TestMatchIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(8)
	var asks []ask
	for i := range 8 {
		asks = append(asks, theirs(i))
	}
	id, params := b.submit(2, asks)
	_, err := run(t, b.PublishMatch, id)
	require.Contains(t, requireFinal(t, err, models.KindConflict), "0 with an outcome")
	var wg sync.WaitGroup
	for range 3 {
		for i := range 4 {
			wg.Go(func() { require.EqualValues(t, 2, must[int64](t, b.MatchSlice, SliceInput{id, i})) })
		}
	}
	wg.Wait()
	require.Equal(t, 8, b.count("match_outcomes"))
	done, total, err := b.Store.MatchProgress(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, [2]int64{8, 8}, [2]int64{done, total})
	_, err = run(t, b.MatchSlice, SliceInput{id, 4})
	requireFinal(t, err, models.KindNotFound)

	for range 4 {
		wg.Go(func() { must[Published](t, b.PublishMatch, id) })
	}
	wg.Wait()
	require.Len(t, b.blobs("groups"), 1, "one Group is kept, of the attempt that counts")
	require.Len(t, b.blobs("matches/"+id), 2)
	b.publishMatch(id, params)

	_, err = run(t, b.MatchSlice, SliceInput{id, 0})
	requireFinal(t, err, models.KindConflict)
	ok(t, b.PurgeJob, id)
	require.Empty(t, b.blobs("matches/"+id))
	_, err = b.Store.OwnGroup(t.Context(), "client", params.GroupID)
	require.NoError(t, err, "the Group outlives the files")
}

func TestDamagedRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(1)
	id, _ := b.submit(2, []ask{theirs(0), theirs(1)})
	b.exec(`UPDATE match_slices SET members = 3`)
	_, err := run(t, b.MatchSlice, SliceInput{id, 0})
	require.ErrorContains(t, err, "3 members stored, 2 read")
	b.exec(`UPDATE match_slices SET members = 2, byte_offset = 5`)
	_, err = run(t, b.MatchSlice, SliceInput{id, 0})
	require.ErrorContains(t, err, "damaged")
	require.NotContains(t, err.Error(), "Family")
	require.Zero(t, b.count("match_outcomes"))
}

// A Group lives as long as it was told to, and says so.
func TestGroupLife(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(1)
	b.GroupLife = GroupLife{Payer: 36 * time.Hour, Provider: time.Minute}
	id, params := b.submit(1, []ask{theirs(0)})
	r := b.answer(id, params)
	row, err := b.Store.OwnGroup(t.Context(), "client", params.GroupID)
	require.NoError(t, err)
	require.True(t, row.ExpiresAt.Equal(b.now().Truncate(time.Second).Add(36*time.Hour)))
	require.Equal(t, row.ExpiresAt.UTC().Format(time.RFC3339), r.groups["match"].Characteristic[0].Period.End)
	require.Equal(t, []string{requesterID}, row.Organizations)

	b.GroupLife = GroupLife{}
	id, params = b.submit(1, []ask{theirs(0)})
	r = b.answer(id, params)
	row, err = b.Store.OwnGroup(t.Context(), "client", params.GroupID)
	require.NoError(t, err)
	require.Nil(t, row.ExpiresAt)
	require.Empty(t, r.groups["match"].Characteristic[0].Period.End)
}

// The guide's own requests, against the members that the guide's old payer has, when their consents are in force and when they
// are not. Its second person's birth date is another than that of the old payer's Patient/2002.
func TestGuideExamples(t *testing.T) {
	t.Parallel()
	const dir = "../../shared/spec/examples"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the guide's examples are not there")
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(dir + "/" + name)
		require.NoError(t, err)
		return text
	}
	b := setup(t)
	var held bytes.Buffer
	for _, name := range []string{"1001", "2002", "100", "payer-member-001"} {
		require.NoError(t, json.Compact(&held, read("pdex-2.2.0/Patient-"+name+".json")))
		held.WriteByte('\n')
	}
	b.loadText(held.String(), models.ImportLive)
	for _, tc := range []struct {
		request string
		at      string
		want    map[string][]string // by outcome, our Patients or the submitted ones
		reasons []string
	}{
		{"pdex-2.2.0/Parameters-payer-multi-member-match-in.json", "2024-01-15", map[string][]string{"match": {"Patient/1001"}}, []string{"permitted"}},
		{"pdex-2.2.0/Parameters-payer-multi-member-match-in.json", "2026-11-23", map[string][]string{"match": nil, "consentconstraint": {"#patient-1"}}, []string{"consent-expired"}},
		{"assembled/bulk-member-match-request.2members.json", "2024-01-15", map[string][]string{"match": {"Patient/1001"}, "nomatch": {"#patient-2"}}, []string{"permitted", ""}},
		{"assembled/bulk-member-match-request.2members.json", "2023-11-30", map[string][]string{"match": nil, "consentconstraint": {"#patient-1"}, "nomatch": {"#patient-2"}}, []string{"consent-not-yet", ""}},
		{"assembled/bulk-member-match-request.2members.json", "2024-04-01", map[string][]string{"match": nil, "consentconstraint": {"#patient-1"}, "nomatch": {"#patient-2"}}, []string{"consent-expired", ""}},
	} {
		at, err := time.Parse(time.DateOnly, tc.at)
		require.NoError(t, err)
		b.clock.Store(at.UnixMilli())
		id, params := b.submit(1, asksOf(t, read(tc.request)))
		r := b.answer(id, params)
		got := map[string][]string{}
		for code, g := range r.groups {
			got[code] = nil
			for _, m := range g.Member {
				got[code] = append(got[code], m.Entity.Reference)
			}
		}
		require.Equal(t, tc.want, got, "%s on %s", tc.request, tc.at)
		for i, reason := range tc.reasons {
			if reason != "" {
				require.Equal(t, reason, r.outcomes[i].Reason)
			}
		}
	}
}

// asksOf takes the MemberBundles out of a Parameters resource.
func asksOf(t testing.TB, request []byte) []ask {
	t.Helper()
	var p struct {
		Parameter []struct {
			Part []struct {
				Name     string
				Resource json.RawMessage
			}
		}
	}
	require.NoError(t, json.Unmarshal(request, &p))
	var asks []ask
	for _, bundle := range p.Parameter {
		var a ask
		for _, part := range bundle.Part {
			switch part.Name {
			case "MemberPatient":
				a.patient = string(part.Resource)
			case "CoverageToMatch":
				a.coverage = string(part.Resource)
			case "Consent":
				a.consent = string(part.Resource)
			}
		}
		asks = append(asks, a)
	}
	return asks
}

// overtaken is a file store in which another attempt is quicker, once.
type overtaken struct {
	blob.Store
	by func()
}

func (o *overtaken) Create(ctx context.Context, key string) (blob.Writer, error) {
	if by := o.by; by != nil && strings.HasSuffix(key, "/Group") {
		o.by = nil
		by()
	}
	return o.Store.Create(ctx, key)
}

// An attempt that is overtaken, and finds what it has written deleted, says what the other one says.
func TestOvertakenPublishing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	id, params := b.submit(1, []ask{theirs(0), theirs(1)})
	for i := range 2 {
		must[int64](t, b.MatchSlice, SliceInput{id, i})
	}
	var first Published
	slow := *b.Activities
	slow.Files = &overtaken{b.Files, func() { first = must[Published](t, b.PublishMatch, id) }}
	require.Equal(t, must[Published](t, slow.PublishMatch, id), first)
	require.Len(t, b.blobs("matches/"+id), 2)
	require.Len(t, b.blobs("groups"), 1)
	b.publishMatch(id, params)
}

package activities

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
)

func patient(id, rest string) string {
	return `{"resourceType":"Patient","id":"` + id + `"` + rest + "}\n"
}

// observation makes an Observation of a patient. meta is the inside of meta, such as `"versionId":"2"`.
func observation(id, subject, meta, value string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":"%s","meta":{%s},"status":"final","subject":{"reference":"Patient/%s"},"valueString":"%s"}`+"\n",
		id, meta, subject, value)
}

func updated(at time.Time) string {
	return `"lastUpdated":"` + fhir.FormatInstant(at.UnixMilli()) + `"`
}

func deletes(refs ...string) string {
	var entries []string
	for _, r := range refs {
		entries = append(entries, `{"request":{"method":"DELETE","url":"`+r+`"}}`)
	}
	return `{"resourceType":"Bundle","id":"gone","type":"transaction","entry":[` + strings.Join(entries, ",") + "]}\n"
}

func (b *bundle) loadText(text string, mode models.ImportMode) models.ImportStats {
	b.t.Helper()
	return b.load(b.folder(map[string]string{"a.ndjson": text}), mode)
}

func TestLastUpdatedByMode(t *testing.T) {
	t.Parallel()
	past, future := noon.AddDate(-3, 0, 0), noon.AddDate(3, 0, 0)
	text := observation("old", "p", updated(past), "x") + observation("none", "p", "", "x") + observation("ahead", "p", updated(future), "x")

	b := setup(t)
	b.loadText(text, models.ImportLive)
	for key, got := range b.current() {
		require.Equal(t, b.clock.Load(), got.line.LastUpdated, key)
	}

	b = setup(t)
	b.loadText(text, models.ImportBackfill)
	held := b.current()
	require.Equal(t, past.UnixMilli(), held["Observation/old"].line.LastUpdated)
	require.Equal(t, b.clock.Load(), held["Observation/none"].line.LastUpdated)
	require.Equal(t, b.clock.Load(), held["Observation/ahead"].line.LastUpdated, "nothing was updated in the future")
}

func TestNewerReplacesOlder(t *testing.T) {
	t.Parallel()
	day := func(n int) string { return updated(noon.AddDate(0, 0, n-100)) }
	for name, tc := range map[string]struct {
		mode          models.ImportMode
		first, second string
		want          models.TypeCounts
		value         string
	}{
		"live, changed":                 {models.ImportLive, `"versionId":"1"`, `"versionId":"2"`, models.TypeCounts{Replaced: 1}, "new"},
		"live, without version":         {models.ImportLive, ``, ``, models.TypeCounts{Replaced: 1}, "new"},
		"live, older version":           {models.ImportLive, `"versionId":"2"`, `"versionId":"1"`, models.TypeCounts{Stale: 1}, "old"},
		"live, older date":              {models.ImportLive, day(2), day(1), models.TypeCounts{Replaced: 1}, "new"},
		"backfill, newer date":          {models.ImportBackfill, day(1), day(2), models.TypeCounts{Replaced: 1}, "new"},
		"backfill, older date":          {models.ImportBackfill, day(2), day(1), models.TypeCounts{Stale: 1}, "old"},
		"backfill, same date":           {models.ImportBackfill, day(1), day(1), models.TypeCounts{Replaced: 1}, "new"},
		"backfill, newer but older ver": {models.ImportBackfill, day(1) + `,"versionId":"3"`, day(2) + `,"versionId":"2"`, models.TypeCounts{Stale: 1}, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			bystander := observation("other", "p", "", "y")
			b.loadText(observation("o", "p", tc.first, "old")+bystander, tc.mode)
			before := b.current()
			stats := b.loadText(observation("o", "p", tc.second, "new"), tc.mode)
			require.Equal(t, tc.want, stats.Types["Observation"])
			after := b.current()
			require.Contains(t, after["Observation/o"].body, `"valueString":"`+tc.value+`"`)
			require.Equal(t, before["Observation/other"].body, after["Observation/other"].body, "a neighbour keeps its bytes and its date")
			if tc.want.Stale > 0 {
				require.Zero(t, stats.Segments)
				require.Equal(t, before, after)
			}
		})
	}
}

// A backfill may bring the same content with a later date: the date is the news.
func TestBackfillMovesTheDate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	early, late := noon.AddDate(-2, 0, 0), noon.AddDate(-1, 0, 0)
	b.loadText(observation("o", "p", updated(early), "x"), models.ImportBackfill)
	require.Equal(t, models.TypeCounts{Replaced: 1}, b.loadText(observation("o", "p", updated(late), "x"), models.ImportBackfill).Types["Observation"])
	require.Equal(t, late.UnixMilli(), b.current()["Observation/o"].line.LastUpdated)
	require.Equal(t, models.TypeCounts{Unchanged: 1}, b.loadText(observation("o", "p", updated(early), "x"), models.ImportBackfill).Types["Observation"])
	require.Equal(t, models.TypeCounts{Unchanged: 1}, b.loadText(observation("o", "p", updated(late.AddDate(0, 1, 0)), "x"), models.ImportLive).Types["Observation"])
	require.Equal(t, late.UnixMilli(), b.current()["Observation/o"].line.LastUpdated)
}

func TestVersionsWithinOneImport(t *testing.T) {
	t.Parallel()
	early, late := updated(noon.AddDate(-2, 0, 0)), updated(noon.AddDate(-1, 0, 0))
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"the later date, first":      {map[string]string{"a.ndjson": observation("o", "p", late, "want") + observation("o", "p", early, "no")}, "want"},
		"the later date, last":       {map[string]string{"a.ndjson": observation("o", "p", early, "no") + observation("o", "p", late, "want")}, "want"},
		"the later date, other file": {map[string]string{"a.ndjson": observation("o", "p", late, "want"), "b.ndjson": observation("o", "p", early, "no")}, "want"},
		"no date is now":             {map[string]string{"a.ndjson": observation("o", "p", "", "want") + observation("o", "p", late, "no")}, "want"},
		"the higher version":         {map[string]string{"a.ndjson": observation("o", "p", `"versionId":"10"`, "want") + observation("o", "p", `"versionId":"9"`, "no")}, "want"},
		"the last line":              {map[string]string{"a.ndjson": observation("o", "p", "", "no") + observation("o", "p", "", "want")}, "want"},
		"the last file":              {map[string]string{"b.ndjson": observation("o", "p", "", "want"), "a.ndjson": observation("o", "p", "", "no")}, "want"},
	} {
		for _, mode := range []models.ImportMode{models.ImportLive, models.ImportBackfill} {
			t.Run(name+", "+string(mode), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				stats := b.load(b.folder(tc.files), mode)
				require.Equal(t, models.TypeCounts{New: 1}, stats.Types["Observation"])
				require.EqualValues(t, 1, stats.Duplicate)
				require.Contains(t, b.current()["Observation/o"].body, `"valueString":"`+tc.want+`"`)
			})
		}
	}
}

func TestDeletes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	source := observation("o", "p", updated(noon.AddDate(-1, 0, 0)), "x")
	practitioner := `{"resourceType":"Practitioner","id":"d"}` + "\n"
	b.loadText(patient("p", `,"name":[{"family":"Doe","given":["Jo"]}],"birthDate":"1980-01-01"`)+source+observation("stays", "p", "", "y")+practitioner, models.ImportLive)
	require.Equal(t, 1, b.count("members WHERE present"))
	require.Equal(t, 1, b.count("member_parts"))

	stats := b.loadText(deletes("Observation/o", "Practitioner/d", "Observation/never-seen")+deletes("Patient/p"), models.ImportLive)
	require.EqualValues(t, 2, stats.Deletes)
	require.EqualValues(t, 3, stats.Deleted)
	held := b.current()
	require.Len(t, held, 1)
	require.Contains(t, held, "Observation/stays")
	require.Equal(t, 4, b.count("tombstones"), "one of them for what was never held")
	require.Zero(t, b.count("members WHERE present"), "nobody is matched to a Patient that is gone")
	require.Zero(t, b.count("member_parts"))
	require.Zero(t, b.count("member_keys"))

	stats = b.loadText(source, models.ImportBackfill)
	require.Equal(t, models.TypeCounts{Stale: 1}, stats.Types["Observation"], "an older version does not come back")
	require.NotContains(t, b.current(), "Observation/o")

	stats = b.loadText(source, models.ImportLive)
	require.Equal(t, models.TypeCounts{New: 1}, stats.Types["Observation"], "a live import says that it is there again")
	require.Contains(t, b.current(), "Observation/o")
	require.Equal(t, 3, b.count("tombstones"))

	// The same deletes a second time find what is there now, and no more.
	stats = b.loadText(deletes("Observation/o", "Practitioner/d"), models.ImportLive)
	require.EqualValues(t, 1, stats.Deleted)
	require.NotContains(t, b.current(), "Observation/o")
}

// A resource that a live import both brings and deletes stays: the line is as new as the delete.
func TestDeleteOfWhatTheImportBrings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.loadText(observation("o", "p", "", "x")+observation("q", "p", "", "x"), models.ImportLive)
	b.loadText(observation("o", "p", "", "new")+deletes("Observation/o", "Observation/q"), models.ImportLive)
	held := b.current()
	require.Len(t, held, 1)
	require.Contains(t, held["Observation/o"].body, "new")
}

func TestBundlesOfDeletes(t *testing.T) {
	t.Parallel()
	const head = `{"resourceType":"Bundle","id":"b","type":"transaction","entry":[`
	for name, tc := range map[string]struct {
		line   string
		reject string
		taken  bool
	}{
		"deletes":           {strings.TrimSpace(deletes("Observation/o")), "", true},
		"without id":        {`{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Observation/o"}}]}`, "", true},
		"mixed":             {head + `{"request":{"method":"DELETE","url":"Observation/o"}},{"request":{"method":"PUT","url":"Patient/p"}}]}`, "bad-deletes", false},
		"conditional":       {head + `{"request":{"method":"DELETE","url":"Observation?status=final"}}]}`, "bad-deletes", false},
		"a version":         {head + `{"request":{"method":"DELETE","url":"Observation/o/_history/1"}}]}`, "bad-deletes", false},
		"an unknown type":   {head + `{"request":{"method":"DELETE","url":"Wish/o"}}]}`, "bad-deletes", false},
		"a collection":      {`{"resourceType":"Bundle","id":"b","type":"collection","entry":[{"request":{"method":"DELETE","url":"Observation/o"}}]}`, "", false},
		"puts":              {head + `{"request":{"method":"PUT","url":"Observation/o"}}]}`, "", false},
		"empty":             {`{"resourceType":"Bundle","id":"b","type":"transaction"}`, "", false},
		"no id, no deletes": {`{"resourceType":"Bundle","type":"transaction"}`, "no-id", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.loadText(observation("o", "p", "", "x"), models.ImportLive)
			stats := b.loadText(tc.line+"\n", models.ImportLive)
			_, there := b.current()["Observation/o"]
			require.Equal(t, !tc.taken, there)
			switch {
			case tc.taken:
				require.EqualValues(t, 1, stats.Deletes)
			case tc.reject != "":
				require.Equal(t, 1, b.count("import_rejects WHERE reason = $1", tc.reject))
			default:
				require.Equal(t, models.TypeCounts{New: 1, Unattributed: 1}, stats.Types["Bundle"])
			}
		})
	}
}

func TestClassChangeMovesTheLine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const label = `"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]`
	b.loadText(observation("o", "p", "", "x")+observation("n", "p", "", "x"), models.ImportLive)
	require.Zero(t, b.current()["Observation/o"].class)
	stats := b.loadText(observation("o", "p", label, "x"), models.ImportLive)
	require.Equal(t, models.TypeCounts{Replaced: 1}, stats.Types["Observation"])
	held := b.current() // which also fails when the old line is still there
	require.Equal(t, models.ClassSensitive, held["Observation/o"].class)
	require.Zero(t, held["Observation/n"].class)
	b.loadText(observation("o", "p", "", "x"), models.ImportLive)
	require.Zero(t, b.current()["Observation/o"].class)
}

func TestHomes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stats := b.loadText(
		`{"resourceType":"Organization","id":"o"}`+"\n"+
			`{"resourceType":"Observation","id":"nobody","status":"final"}`+"\n"+
			`{"resourceType":"Group","id":"g","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/a"}},{"entity":{"reference":"Patient/b"}}]}`+"\n"+
			observation("mine", "a", "", "x"), models.ImportLive)
	held := b.current()
	require.Equal(t, models.SharedID("Organization", "o"), held["Organization/o"].member)
	require.Equal(t, models.UnattributedID("Observation", "nobody"), held["Observation/nobody"].member)
	require.Equal(t, models.UnattributedID("Group", "g"), held["Group/g"].member, "two people's belong to neither")
	require.Equal(t, models.MemberID("a"), held["Observation/mine"].member)
	require.Equal(t, models.TypeCounts{New: 2, Unattributed: 1}, stats.Types["Observation"])
	require.Equal(t, models.TypeCounts{New: 1}, stats.Types["Organization"])
	require.EqualValues(t, 1, stats.Members)
	require.Equal(t, 1, b.count("members WHERE id = $1 AND patient_id = 'a' AND NOT present", models.MemberID("a")), "a member without Patient")
	b.loadText(patient("a", ""), models.ImportLive)
	require.Equal(t, 1, b.count("members WHERE present"))
	b.loadText(observation("more", "a", "", "x"), models.ImportLive)
	require.Equal(t, 1, b.count("members WHERE present"), "more data do not take the Patient away")
}

func TestMemberIndexFollowsTheNewestVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	coverage := func(id, number string) string {
		return fmt.Sprintf(`{"resourceType":"Coverage","id":"%s","status":"active","beneficiary":{"reference":"Patient/p"},"subscriberId":"%s","payor":[{"display":"x"}]}`+"\n", id, number)
	}
	b.loadText(patient("p", `,"name":[{"family":"Doe","given":["Jo"]}],"gender":"female","birthDate":"1980-01-01"`)+coverage("c1", "ABC111222")+coverage("c2", "ABC333444"), models.ImportLive)
	require.Equal(t, []string{"doe", "ABC111222", "ABC333444"}, b.indexed("p"))
	b.loadText(patient("p", `,"name":[{"family":"Roe","given":["Jo"]}],"gender":"female","birthDate":"1980-01-01"`)+coverage("c1", "XYZ999888"), models.ImportLive)
	require.Equal(t, []string{"roe", "ABC333444", "XYZ999888"}, b.indexed("p"), "the old go with the old versions; another Coverage is not touched")
	b.loadText(deletes("Coverage/c2"), models.ImportLive)
	require.Equal(t, []string{"roe", "XYZ999888"}, b.indexed("p"))
	require.Equal(t, b.count("(SELECT DISTINCT key FROM member_keys) k"), b.count("(SELECT DISTINCT unnest(keys) FROM member_parts) k"))
}

// indexed lists the family names and identifiers by which a member is known, and holds the keys against them.
func (b *bundle) indexed(patient string) []string {
	var whole match.Person
	rows, err := b.Store.Pool.Query(b.t.Context(), `SELECT record, keys FROM member_parts WHERE member_id = $1 ORDER BY member_id, source`, models.MemberID(patient))
	require.NoError(b.t, err)
	var record []byte
	var keys []int64
	_, err = pgx.ForEachRow(rows, []any{&record, &keys}, func() error {
		p, err := match.ParseRecord(record)
		require.NoError(b.t, err)
		require.Equal(b.t, p.Keys(), keys)
		whole.Merge(p)
		return nil
	})
	require.NoError(b.t, err)
	out := whole.Families
	for _, id := range whole.IDs {
		out = append(out, id.Value)
	}
	return out
}

// The cards contained in claims are their patients' own, whoever's claims come before with the same card.
func TestContainedCards(t *testing.T) {
	t.Parallel()
	b := setup(t)
	card := func(beneficiary, number string) string {
		if beneficiary != "" {
			beneficiary = `"beneficiary":{"reference":"Patient/` + beneficiary + `"},`
		}
		return `{"resourceType":"Coverage","id":"c","status":"active",` + beneficiary + `"subscriberId":"` + number + `"}`
	}
	benefit := func(id, patient, contained string) string {
		return fmt.Sprintf(`{"resourceType":"ExplanationOfBenefit","id":"%s","contained":[%s],"status":"active","patient":{"reference":"Patient/%s"}}`+"\n", id, contained, patient)
	}
	var text strings.Builder
	for i := range 20 {
		p := fmt.Sprintf("p%d", i)
		text.WriteString(benefit(p, p, card("p7", "AAA12345")))
	}
	b.loadText(text.String(), models.ImportLive)
	require.Equal(t, []string{"AAA12345"}, b.indexed("p7"))
	require.Equal(t, 1, b.count("member_parts"), "nobody has another's")
	b.loadText(benefit("q", "q", card("", "BBB12345")), models.ImportLive)
	require.Equal(t, []string{"BBB12345"}, b.indexed("q"), "one that names nobody is the patient's")

	b.loadText(benefit("q2", "q", card("", "CCC12345")), models.ImportLive)
	require.Equal(t, []string{"BBB12345", "CCC12345"}, b.indexed("q"))
	b.loadText(benefit("q2", "q", card("", "DDD12345")), models.ImportLive)
	require.Equal(t, []string{"BBB12345", "DDD12345"}, b.indexed("q"), "what a new version does not contain is gone")
	b.loadText(deletes("ExplanationOfBenefit/q"), models.ImportLive)
	require.Equal(t, []string{"DDD12345"}, b.indexed("q"), "and what only a deleted one did")
	b.loadText(benefit("q2", "r", card("", "DDD12345")), models.ImportLive)
	require.Empty(t, b.indexed("q"), "a claim that moves takes it along")
	require.Equal(t, []string{"DDD12345"}, b.indexed("r"))
	require.Zero(t, b.count("member_stale"))
}

// TestIndexOfAnEarlierVersion makes the index again of what is held, as after a migration.
func TestIndexOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.loadText(patient("p", `,"name":[{"family":"Doe","given":["Jo"]}],"gender":"female","birthDate":"1980-01-01"`)+
		`{"resourceType":"Coverage","id":"c1","status":"active","beneficiary":{"reference":"Patient/p"},"subscriberId":"ABC111222","payor":[{"display":"x"}]}`+"\n"+
		`{"resourceType":"Coverage","id":"c2","status":"active","beneficiary":{"reference":"Patient/later"},"subscriberId":"ABC333444","payor":[{"display":"x"}]}`+"\n"+
		`{"resourceType":"ExplanationOfBenefit","id":"e","contained":[{"resourceType":"Coverage","id":"c","subscriberId":"BBB12345"}],"status":"active","patient":{"reference":"Patient/p"}}`+"\n", models.ImportLive)
	before, later := b.indexed("p"), b.indexed("later")
	require.Equal(t, []string{"doe", "ABC111222", "BBB12345"}, before)
	keys := b.count("member_keys")
	for _, sql := range []string{"DELETE FROM member_parts", "DELETE FROM member_keys", "INSERT INTO member_stale SELECT id FROM members"} {
		_, err := b.Store.Pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	b.loadText(observation("o", "another", "", "x"), models.ImportLive)
	require.Equal(t, before, b.indexed("p"))
	require.Equal(t, later, b.indexed("later"), "a Coverage whose Patient has not come yet")
	require.Equal(t, keys, b.count("member_keys"))
	require.Zero(t, b.count("member_stale"))
}

// What was deleted before it was held does not come back with a late older version, and does with a newer one.
func TestDeletesOfWhatIsNotHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, ahead := noon.AddDate(-1, 0, 0), noon.Add(30*time.Minute)
	b.loadText(patient("p", ""), models.ImportLive)
	stats := b.loadText(deleteOf("Observation/o", "Binary/x", "Observation/kept")+observation("kept", "p", "", "x"), models.ImportLive)
	require.Zero(t, stats.Deleted)
	late := observation("o", "p", updated(old), "x") + binaryOf("x", "Patient/p", `,"meta":{`+updated(old)+`}`, "x")
	stats = b.loadText(late+observation("kept", "p", updated(ahead), "y"), models.ImportBackfill)
	require.Equal(t, models.TypeCounts{Stale: 1}, stats.Types["Binary"])
	require.EqualValues(t, 1, stats.Types["Observation"].Stale)
	require.NotContains(t, b.current(), "Observation/o")
	require.Contains(t, b.current(), "Observation/kept")
	since := noon.Add(-time.Hour)
	b.pass(time.Minute)
	_, _, got := b.export(models.OpSystemExport, models.ExportParams{Since: &since})
	require.Empty(t, got["deleted"], "nobody was ever told of it")

	b.pass(time.Hour)
	stats = b.loadText(late, models.ImportLive)
	require.Equal(t, models.TypeCounts{New: 1}, stats.Types["Observation"])
	require.Equal(t, models.TypeCounts{New: 1}, stats.Types["Binary"])
	require.Contains(t, b.current(), "Observation/o")
	require.Zero(t, b.count("tombstones"))
}

// A device can be somebody's without a reference that leads to them: by an identifier, a name, or a Patient of its own. It is then no
// resource to go along with whatever refers to it.
func TestWhatIsOfSomebodyUnknownIsNotShared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.client(models.ClientPayer, false)
	b.loadText(patient("q", "")+
		`{"resourceType":"Device","id":"named","patient":{"display":"Jane Roe","identifier":{"value":"1"}}}`+"\n"+
		`{"resourceType":"Device","id":"contained","contained":[{"resourceType":"Patient","id":"x","name":[{"family":"Roe"}]}],"patient":{"reference":"#x"}}`+"\n"+
		`{"resourceType":"Device","id":"shelf"}`+"\n"+
		`{"resourceType":"Observation","id":"o","status":"final","subject":{"reference":"Patient/q"},"device":{"reference":"Device/named"},"focus":[{"reference":"Device/contained"},{"reference":"Device/shelf"}]}`+"\n", models.ImportLive)
	b.pass(time.Hour)
	group := b.group(seat{"q", consent.PolicySensitive, noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)})
	for op, p := range map[models.Operation]models.ExportParams{models.OpGroupExport: {GroupID: group}, models.OpPatientExport: {}, models.OpSystemExport: {}} {
		_, _, lines := b.export(op, p)
		require.Equal(t, map[string]bool{"Patient/q": true, "Observation/o": true, "Device/shelf": true}, ids(lines), op)
	}
}

package trail

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
)

func keys(t testing.TB, id string) Keys {
	t.Helper()
	k, err := ParseKeys(id + ":" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(id[:1], 32))))
	require.NoError(t, err)
	return k
}

func event(i int) Event {
	e := New(time.Unix(1_800_000_000+int64(i), 1000).UTC())
	e.Kind, e.Actor, e.Client, e.Action, e.Outcome, e.Status = ActorClient, "payer", "payer", "get-file", Success, 200
	e.Job, e.Group, e.Target = models.NewID(), models.NewID(), fmt.Sprintf("%d.Patient.ndjson", i)
	e.Members, e.Counts = []uuid.UUID{uuid.New(), uuid.New()}, Counts{"b": 2, "a": int64(i)}
	e.Purpose, e.Reason, e.Source, e.Route = "TREAT", "r", "192.0.2.1", "GET /fhir/bulk-files/{job}/{file}"
	return e
}

func chain(k Keys, n int) []Record {
	var out []Record
	var head Head
	for i := range n {
		r := k.Seal(head, event(i))
		out, head = append(out, r), Head{r.Seq, r.Hash}
	}
	return out
}

func verify(k Keys, records []Record, anchors ...Head) Report {
	v := NewVerifier(k, anchors)
	for i := range records {
		v.Add(&records[i])
	}
	return v.Report()
}

func TestSoundChain(t *testing.T) {
	t.Parallel()
	for _, k := range []Keys{{}, keys(t, "a")} {
		records := chain(k, 20)
		at := Head{records[9].Seq, records[9].Hash}
		report := verify(k, records, at)
		require.True(t, report.Sound, report.Faults)
		require.Equal(t, Report{Sound: true, Records: 20, Head: Head{20, records[19].Hash}, Anchors: 1}, report)
		require.True(t, verify(k, nil).Sound)
	}
}

// Whatever is changed in any field of any record shows, and where.
func TestAlteredFields(t *testing.T) {
	t.Parallel()
	k := keys(t, "a")
	records := chain(k, 9)
	typ := reflect.TypeFor[Event]()
	for field := range typ.NumField() {
		changed := slices.Clone(records)
		v := reflect.ValueOf(&changed[4].Event).Elem().Field(field)
		switch v.Interface().(type) {
		case time.Time:
			v.Set(reflect.ValueOf(changed[4].At.Add(time.Microsecond)))
		case []uuid.UUID:
			v.Set(reflect.ValueOf(changed[4].Members[:1]))
		case Counts:
			v.Set(reflect.ValueOf(Counts{"a": 4, "b": 3}))
		case int:
			v.SetInt(v.Int() + 1)
		default:
			require.Equal(t, reflect.String, v.Kind(), "a new kind of field is hashed too")
			v.SetString(v.String() + "x")
		}
		report := verify(k, changed)
		require.False(t, report.Sound, typ.Field(field).Name)
		require.Equal(t, int64(5), report.Faults[0].Seq, typ.Field(field).Name)
	}
	// Text that moves from one field to the next is another record.
	changed := slices.Clone(records)
	changed[4].Purpose, changed[4].Reason = "", "TREATr"
	require.False(t, verify(k, changed).Sound)
}

func TestTamperedChains(t *testing.T) {
	t.Parallel()
	k := keys(t, "a")
	records := chain(k, 10)
	anchor := Head{10, records[9].Hash}
	forged := Keys{}.Seal(Head{4, records[3].Hash}, event(99))
	renumbered := func(in []Record) []Record {
		out := slices.Clone(in)
		for i := range out {
			out[i].Seq = int64(i + 1)
		}
		return out
	}
	swapped := slices.Clone(records)
	swapped[3].Event, swapped[6].Event = swapped[6].Event, swapped[3].Event
	moved := slices.Clone(records)
	moved[3], moved[4] = moved[4], moved[3]
	otherKey := chain(keys(t, "b"), 10)
	for _, tt := range []struct {
		name    string
		records []Record
		anchors []Head
		seq     int64
		says    string
	}{
		{"first removed", records[1:], nil, 1, "records up to 1 are missing"},
		{"one removed", slices.Delete(slices.Clone(records), 4, 5), nil, 5, "records up to 5 are missing"},
		{"several removed", slices.Delete(slices.Clone(records), 4, 7), nil, 5, "records up to 7 are missing"},
		{"removed and renumbered", renumbered(slices.Delete(slices.Clone(records), 4, 5)), nil, 5, "altered, put in, or moved"},
		{"removed from the end", records[:8], []Head{anchor}, 9, "records up to 10 are missing from the end"},
		{"all removed", nil, []Head{anchor}, 1, "records up to 10 are missing from the end"},
		{"one put in", renumbered(slices.Insert(slices.Clone(records), 4, forged)), nil, 5, "altered, put in, or moved"},
		{"one put behind the end", append(slices.Clone(records), forgedAt(11, records[9].Hash)), nil, 11, "altered, put in, or moved"},
		{"contents swapped", swapped, nil, 4, "altered, put in, or moved"},
		{"moved and renumbered", renumbered(moved), nil, 4, "altered, put in, or moved"},
		{"chained anew without a key", chain(Keys{}, 10), nil, 1, "altered, put in, or moved"},
		{"chained anew with the key", chain(k, 10), []Head{anchor}, 10, "another hash was noted"},
		{"chained anew with another key", otherKey, nil, 1, "not at hand"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			report := verify(k, tt.records, tt.anchors...)
			require.False(t, report.Sound)
			require.Equal(t, tt.seq, report.Faults[0].Seq)
			require.Contains(t, report.Faults[0].What, tt.says)
		})
	}
}

func forgedAt(seq int64, before []byte) Record {
	r := Keys{}.Seal(Head{seq - 1, before}, event(1))
	r.KeyID = "a" // the forger does not have its secret
	return r
}

// An old key verifies what it sealed, and the new one goes on from there.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	b64 := func(c string) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(c, 32))) }
	old, err := ParseKeys("old:" + b64("o"))
	require.NoError(t, err)
	both, err := ParseKeys("new:" + b64("n") + ", old:" + b64("o"))
	require.NoError(t, err)
	records := chain(old, 3)
	next := both.Seal(Head{3, records[2].Hash}, event(3))
	require.Equal(t, "new", next.KeyID)
	records = append(records, next)
	require.True(t, verify(both, records).Sound)
	require.Equal(t, int64(4), verify(old, records).Faults[0].Seq)

	for _, text := range []string{"x", ":" + b64("x"), "a:", "a:xyz", "a:" + base64.StdEncoding.EncodeToString([]byte("short")), "a b:" + b64("x"), "a:" + b64("x") + ",a:" + b64("y"), ","} {
		_, err := ParseKeys(text)
		require.Equal(t, models.KindInvalid, models.KindOf(err), text)
		require.NotContains(t, err.Error(), b64("x"))
	}
	none, err := ParseKeys("")
	require.NoError(t, err)
	require.False(t, none.Keyed())
	require.True(t, both.Keyed())
}

// Any one removal, swap or repetition is found, wherever it is.
func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	k := keys(t, "a")
	records := chain(k, 30)
	anchor := Head{30, records[29].Hash}
	rapid.Check(t, func(t *rapid.T) {
		got := slices.Clone(records)
		i, j := rapid.IntRange(0, 29).Draw(t, "i"), rapid.IntRange(0, 29).Draw(t, "j")
		switch rapid.IntRange(0, 2).Draw(t, "what") {
		case 0:
			got = slices.Delete(got, min(i, j), max(i, j)+1)
		case 1:
			if i == j {
				return
			}
			got[i].Event, got[j].Event = got[j].Event, got[i].Event
		case 2:
			got = slices.Insert(got, i, got[j])
		}
		require.False(t, verify(k, got, anchor).Sound)
	})
}

func TestAuditEvent(t *testing.T) {
	t.Parallel()
	e := event(7)
	e.ID, e.Job, e.Group = "0198c5ab-0000-7000-8000-000000000001", "0198c5ab-0000-7000-8000-000000000002", "0198c5ab-0000-7000-8000-000000000003"
	e.Members = []uuid.UUID{uuid.MustParse("0198c5ab-0000-7000-8000-000000000004")}
	e.Outcome, e.Status = Refused, 403
	r := Record{Event: e, Seq: 12}
	text, err := json.Marshal(r.AuditEvent())
	require.NoError(t, err)
	require.JSONEq(t, `{
		"resourceType": "AuditEvent", "id": "0198c5ab-0000-7000-8000-000000000001",
		"type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest", "display": "RESTful Operation"},
		"subtype": [{"system": "urn:pdexbulk:action", "code": "get-file"}],
		"action": "R", "recorded": "2027-01-15T08:00:07.000001Z", "outcome": "4", "outcomeDesc": "refused",
		"purposeOfEvent": [{"text": "TREAT"}],
		"agent": [{"who": {"identifier": {"system": "urn:pdexbulk:client", "value": "payer"}}, "requestor": true, "network": {"address": "192.0.2.1", "type": "2"}}],
		"source": {"observer": {"display": "PDex Bulk Exchange"}},
		"entity": [
			{"name": "record", "detail": [
				{"type": "seq", "valueString": "12"}, {"type": "route", "valueString": "GET /fhir/bulk-files/{job}/{file}"},
				{"type": "reason", "valueString": "r"}, {"type": "counts", "valueString": "{\"a\":7,\"b\":2}"}, {"type": "status", "valueString": "403"}]},
			{"name": "client", "what": {"identifier": {"system": "urn:pdexbulk:client", "value": "payer"}}},
			{"name": "job", "what": {"identifier": {"system": "urn:pdexbulk:job", "value": "0198c5ab-0000-7000-8000-000000000002"}}},
			{"name": "group", "what": {"identifier": {"system": "urn:pdexbulk:group", "value": "0198c5ab-0000-7000-8000-000000000003"}}},
			{"name": "target", "what": {"identifier": {"system": "urn:pdexbulk:target", "value": "7.Patient.ndjson"}}},
			{"name": "member", "what": {"identifier": {"system": "urn:pdexbulk:member", "value": "0198c5ab-0000-7000-8000-000000000004"}}}]
	}`, string(text))
	system := Record{Event: System(time.Now(), "payer", "end-job", Failed)}
	got := system.AuditEvent()
	require.Equal(t, []string{"110100", "E", "8"}, []string{got.Type.Code, got.Action, got.Outcome})
	for method, verb := range map[string]string{"GET": "R", "HEAD": "R", "POST": "E", "PUT": "U", "DELETE": "D", "PATCH": "U"} {
		require.Equal(t, verb, (&Record{Event: Event{Route: method + " /x"}}).AuditEvent().Action)
	}
}

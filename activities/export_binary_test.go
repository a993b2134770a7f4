package activities

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/models/consent"
)

const testBase = "https://payer.example/fhir"

func binaryOf(id, context, meta, content string) string {
	if context != "" {
		context = fmt.Sprintf(`,"securityContext":{"reference":"%s"}`, context)
	}
	return fmt.Sprintf(`{"resourceType":"Binary","id":"%s"%s,"contentType":"text/plain"%s,"data":"%s"}`+"\n",
		id, meta, context, base64.StdEncoding.EncodeToString([]byte(content)))
}

func documentOf(id, patient, url string) string {
	return fmt.Sprintf(`{"resourceType":"DocumentReference","id":"%s","status":"current","subject":{"reference":"Patient/%s"},"content":[{"attachment":{"url":"%s"}}]}`+"\n",
		id, patient, url)
}

const restricted = `,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]}`

// attachments exports a patient's DocumentReferences and returns their attachments by document; "made" stands for the id of
// those that the server made.
func (b *bundle) attachments(params models.ExportParams) (jobID string, out map[string]gjson.Result) {
	b.t.Helper()
	params.Base = testBase
	op := models.OpPatientExport
	if params.GroupID != "" {
		op = models.OpGroupExport
	}
	job, _, got := b.export(op, params)
	require.NotContains(b.t, got, "Binary")
	out = map[string]gjson.Result{}
	for _, line := range got["DocumentReference"] {
		doc := gjson.Parse(line)
		id := doc.Get("id").Str
		if name := "made-" + doc.Get("subject.reference").Str; len(id) == 36 && !out[name].Exists() {
			id = name
		}
		out[id] = doc.Get("content.0.attachment")
	}
	return job.ID, out
}

// served says whose Binary the api would serve for a job, and what is in it.
func (b *bundle) served(jobID, groupID, id string) string {
	b.t.Helper()
	x, err := b.Store.ExportedBinary(b.t.Context(), jobID, groupID, id)
	if models.KindOf(err) == models.KindNotFound {
		return ""
	}
	require.NoError(b.t, err)
	data, err := b.Store.BinaryData(b.t.Context(), id, x.Hash)
	require.NoError(b.t, err)
	return string(data)
}

func TestBinaries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	people := patient("a", "") + patient("b", "")
	b.loadText(people+
		binaryOf("held", "Patient/a", "", "one")+documentOf("d1", "a", "Binary/held")+
		binaryOf("alone", "Patient/a", "", "two")+
		binaryOf("loose", "", "", "three")+documentOf("d2", "a", "Binary/loose")+
		documentOf("d3", "a", "https://other.example/x.pdf")+
		documentOf("d4", "a", "Binary/missing")+
		binaryOf("by", "DocumentReference/d5", "", "four")+documentOf("d5", "a", "https://old.example/fhir/Binary/by")+
		binaryOf("foreign", "", "", "five")+documentOf("d6", "a", "https://old.example/fhir/Binary/foreign")+
		binaryOf("bs", "Patient/b", "", "six")+documentOf("d7", "a", "Binary/bs")+
		binaryOf("both", "", "", "seven")+documentOf("d8", "a", "Binary/both")+documentOf("d9", "b", "Binary/both"),
		models.ImportLive)
	b.pass(time.Minute)
	job, got := b.attachments(models.ExportParams{Patients: []string{"a"}})
	linked := func(id string) string { return models.AttachmentURL(testBase, job, id) }
	urls := map[string]string{}
	for id, a := range got {
		urls[id] = a.Get("url").Str
	}
	require.Equal(t, map[string]string{
		"d1":             linked("held"),
		"made-Patient/a": linked("alone"),
		"d2":             linked("loose"),
		"d3":             "https://other.example/x.pdf",
		"d4":             testBase + "/Binary/missing",
		"d5":             linked("by"),
		"d6":             "https://old.example/fhir/Binary/foreign",
		"d7":             testBase + "/Binary/bs",
		"d8":             testBase + "/Binary/both",
	}, urls)
	for _, id := range []string{"d1", "d2", "d5", "made-Patient/a"} {
		require.Equal(t, "text/plain", got[id].Get("contentType").Str, id)
	}
	for id, content := range map[string]string{
		"held": "one", "alone": "two", "loose": "three", "by": "four", "foreign": "", "bs": "", "both": "", "missing": "",
	} {
		require.Equal(t, content, b.served(job, "", id), id)
	}

	t.Run("importing it again changes nothing", func(t *testing.T) {
		before := b.count("segments")
		stats := b.loadText(binaryOf("held", "Patient/a", "", "one")+binaryOf("alone", "Patient/a", "", "two"), models.ImportLive)
		require.Equal(t, map[string]models.TypeCounts{"Binary": {Unchanged: 2}}, stats.Types)
		require.Equal(t, before, b.count("segments"))
		require.Zero(t, b.count("binaries WHERE NOT settled"))
	})
	t.Run("one that gets a document needs none that is made", func(t *testing.T) {
		since := b.now()
		b.pass(time.Minute)
		b.loadText(documentOf("late", "a", "Binary/alone"), models.ImportLive)
		b.pass(time.Minute)
		_, got := b.attachments(models.ExportParams{Patients: []string{"a"}})
		require.Contains(t, got, "late")
		require.NotContains(t, got, "made-Patient/a")
		_, _, delta := b.export(models.OpPatientExport, models.ExportParams{Patients: []string{"a"}, Since: &since})
		require.Contains(t, delta["deleted"][0], "DocumentReference/"+documentID("alone"))
		b.loadText(deleteOf("DocumentReference/late"), models.ImportLive)
		b.pass(time.Minute)
		_, got = b.attachments(models.ExportParams{Patients: []string{"a"}})
		require.Contains(t, got, "made-Patient/a", "and has it again when that goes")
	})
	t.Run("one that goes to another patient is not shown any longer", func(t *testing.T) {
		require.Equal(t, "two", b.served(job, "", "alone"))
		b.loadText(binaryOf("alone", "Patient/b", "", "two"), models.ImportLive)
		b.pass(time.Minute)
		require.Empty(t, b.served(job, "", "alone"))
		_, got := b.attachments(models.ExportParams{Patients: []string{"a"}})
		require.NotContains(t, got, "made-Patient/a")
		_, got = b.attachments(models.ExportParams{Patients: []string{"b"}})
		require.Contains(t, got, "made-Patient/b")
	})
	t.Run("one that is deleted is gone", func(t *testing.T) {
		stats := b.loadText(deleteOf("Binary/held", "Binary/alone"), models.ImportLive)
		require.EqualValues(t, 2, stats.Deleted)
		b.pass(time.Minute)
		require.Empty(t, b.served(job, "", "held"))
		require.Zero(t, b.count("binaries WHERE id IN ('held', 'alone')"))
		_, _, got := b.export(models.OpPatientExport, models.ExportParams{Patients: []string{"b"}})
		require.NotContains(t, idsOf(got["DocumentReference"]), documentID("alone"))
		require.Contains(t, idsOf(got["DocumentReference"]), documentID("bs"))
	})
	t.Run("a purge forgets what was linked", func(t *testing.T) {
		require.Equal(t, "three", b.served(job, "", "loose"))
		ok(t, b.PurgeJob, job)
		require.Empty(t, b.served(job, "", "loose"))
	})
}

func deleteOf(urls ...string) string {
	var entries []string
	for _, url := range urls {
		entries = append(entries, fmt.Sprintf(`{"request":{"method":"DELETE","url":"%s"}}`, url))
	}
	return `{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + "]}\n"
}

func TestBinariesOfAGroup(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.loadText(patient("a", "")+patient("b", "")+patient("c", "")+
		binaryOf("open", "Patient/a", "", "1")+binaryOf("shut", "Patient/a", restricted, "2")+documentOf("d", "a", "Binary/shut")+
		binaryOf("all", "Patient/b", restricted, "3")+binaryOf("out", "Patient/c", "", "4"), models.ImportLive)
	b.pass(time.Minute)
	start, end := noon.Add(-time.Hour), noon.Add(time.Hour)
	group := b.group(seat{"a", consent.PolicyRegular, start, end}, seat{"b", consent.PolicySensitive, start, end}, seat{"c", consent.PolicySensitive, start, noon})
	job, got := b.attachments(models.ExportParams{GroupID: group})
	require.Equal(t, []string{"d", "made-Patient/a", "made-Patient/b"}, slices.Sorted(maps.Keys(got)))
	require.Equal(t, testBase+"/Binary/shut", got["d"].Get("url").Str, "a sensitive Binary of a document that is not")
	require.Equal(t, "1", b.served(job, group, "open"))
	require.Empty(t, b.served(job, group, "shut"))
	require.Equal(t, "3", b.served(job, group, "all"))
	require.Empty(t, b.served(job, group, "out"))
}

// Whatever comes in whatever order and pieces, an export links exactly the Binaries that are the patient's own, and the api
// would serve no other.
func TestBinariesProperty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		if round++; round > 30 { // each takes several imports
			return
		}
		own := func(name string) string { return fmt.Sprint(name, "-", round) }
		people := []string{own("a"), own("b")}
		type bin struct{ context, content string }
		type doc struct{ patient, url string }
		binaries, docs := map[string]bin{}, map[string]doc{}
		b.loadText(patient(people[0], "")+patient(people[1], ""), models.ImportLive)
		for step := range rapid.IntRange(1, 4).Draw(r, "imports") {
			var text strings.Builder
			var gone []string
			for i := range 3 {
				id := own(fmt.Sprint("x", i))
				switch rapid.IntRange(0, 3).Draw(r, "binary") {
				case 0:
					n := bin{rapid.SampledFrom([]string{"", "Patient/" + people[0], "Patient/" + people[1], "DocumentReference/" + own("d0"), "Encounter/e"}).Draw(r, "context"), fmt.Sprint(id, step)}
					binaries[id] = n
					text.WriteString(binaryOf(id, n.context, "", n.content))
				case 1:
					delete(binaries, id)
					gone = append(gone, "Binary/"+id)
				}
				id = own(fmt.Sprint("d", i))
				switch rapid.IntRange(0, 3).Draw(r, "document") {
				case 0, 1:
					n := doc{rapid.SampledFrom(people).Draw(r, "patient"), rapid.SampledFrom([]string{"Binary/" + own("x0"), "Binary/" + own("x1"), "https://o.example/Binary/" + own("x0")}).Draw(r, "url")}
					docs[id] = n
					text.WriteString(documentOf(id, n.patient, n.url))
				case 2:
					delete(docs, id)
					gone = append(gone, "DocumentReference/"+id)
				}
			}
			if len(gone) > 0 {
				text.WriteString(deleteOf(gone...))
			}
			b.loadText(text.String()+"\n", models.ImportLive)
		}
		b.pass(time.Minute)
		require.Zero(r, b.count("binaries WHERE NOT settled OR gone"))

		names := func(d doc, id string) bool { return strings.HasSuffix(d.url, "/"+id) }
		owner := func(id string) string {
			n, held := binaries[id]
			if !held {
				return ""
			}
			if p, is := strings.CutPrefix(n.context, "Patient/"); is {
				return p
			}
			who, relative := map[string]bool{}, false
			for docID, d := range docs {
				if names(d, id) && (n.context == "" || n.context == "DocumentReference/"+docID) {
					who[d.patient] = true
					relative = relative || strings.HasPrefix(d.url, "Binary/") || n.context != ""
				}
			}
			if len(who) != 1 || !relative {
				return ""
			}
			return slices.Collect(maps.Keys(who))[0]
		}
		for _, p := range people {
			job, got := b.attachments(models.ExportParams{Patients: []string{p}})
			for id, n := range binaries {
				linked := false
				for _, a := range got {
					linked = linked || a.Get("url").Str == models.AttachmentURL(testBase, job, id)
				}
				held := false
				for _, d := range docs {
					held = held || d.patient == p && names(d, id)
				}
				want := owner(id) == p && (held || strings.HasPrefix(n.context, "Patient/"))
				require.Equal(r, want, linked, "%s of %s: %v %v", id, p, binaries, docs)
				content := ""
				if want {
					content = n.content
				}
				require.Equal(r, content, b.served(job, "", id))
			}
		}
	})
}

// What only prior authorizations name leaves with them, and without them not at all.
func TestBinariesOfAuthorizations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.client(models.ClientPayer, false)
	cpt := `{"system":"http://www.ama-assn.org/go/cpt","code":"27130"}`
	auth := func(id, decided, support string) string {
		line, _, _ := strings.Cut(authorization(id, "p", "A1", decided, cpt), "\n")
		return strings.Replace(line, `"valueReference":{"reference":"DocumentReference/letter-`+id+`"}`, support, 1) + "\n"
	}
	named := func(binary string) string { return `"valueReference":{"reference":"Binary/` + binary + `"}` }
	const over, active = "2020-01-01", "2027-01-01"
	b.loadText(patient("p", "")+
		auth("over", over, named("b-over"))+auth("over-attached", over, `"valueAttachment":{"contentType":"text/plain","url":"Binary/b-attached"}`)+
		auth("active", active, named("b-active"))+auth("over-shown", over, named("b-shown"))+
		`{"resourceType":"DiagnosticReport","id":"r","status":"final","subject":{"reference":"Patient/p"},"presentedForm":[{"contentType":"text/plain","url":"Binary/b-shown"}]}`+"\n"+
		binaryOf("b-over", "Patient/p", "", "1")+binaryOf("b-attached", "Patient/p", "", "2")+binaryOf("b-active", "Patient/p", "", "3")+
		binaryOf("b-shown", "Patient/p", "", "4")+binaryOf("b-plain", "Patient/p", "", "5"), models.ImportLive)
	b.pass(time.Minute)
	group := b.group(seat{"p", consent.PolicyRegular, noon.AddDate(0, 0, -1), noon.AddDate(1, 0, 0)})
	var last *time.Time
	left := func() (job string, out []string) {
		run, _, got := b.export(models.OpDataExport, models.ExportParams{GroupID: group, Base: testBase, Since: last})
		last = run.TransactionTime
		b.pass(time.Minute)
		for _, line := range got["DocumentReference"] {
			_, id, _ := strings.Cut(gjson.Parse(line).Get("content.0.attachment.url").Str, "/Binary/")
			out = append(out, id)
		}
		slices.Sort(out)
		return run.ID, out
	}
	job, all := left()
	require.Equal(t, []string{"b-active", "b-plain", "b-shown"}, all)
	require.Empty(t, b.served(job, group, "b-over"))
	require.Empty(t, b.served(job, group, "b-attached"))
	require.Equal(t, "3", b.served(job, group, "b-active"))

	b.loadText(auth("over", active, named("b-over"))+auth("active", over, named("b-active")), models.ImportLive)
	b.pass(time.Minute)
	job, all = left()
	require.Equal(t, []string{"b-over"}, all, "a delta brings what is in force now")
	require.Equal(t, "1", b.served(job, group, "b-over"))
	last = nil
	_, all = left()
	require.Equal(t, []string{"b-over", "b-plain", "b-shown"}, all)
	b.loadText(deletes("ExplanationOfBenefit/over-attached"), models.ImportLive)
	b.pass(time.Minute)
	_, all = left()
	require.Equal(t, []string{"b-attached"}, all, "it belongs to nothing that stays")
}

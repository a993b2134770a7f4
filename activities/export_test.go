package activities

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// job records an accepted job and returns its id.
func (b *bundle) job(op models.Operation, params any) string {
	b.t.Helper()
	job := b.newJob(op, params)
	_, created, err := b.Store.CreateJob(b.t.Context(), job, 0)
	require.NoError(b.t, err)
	require.True(b.t, created)
	return job.ID
}

func (b *bundle) newJob(op models.Operation, params any) *models.Job {
	b.t.Helper()
	text, err := json.Marshal(params)
	require.NoError(b.t, err)
	id := models.NewID()
	return &models.Job{
		ID: id, ClientID: "client", Operation: op, RequestURL: "https://payer.example/fhir/$export", RequestDigest: []byte(id),
		State: models.StateAccepted, Params: text, CreatedAt: b.now(),
	}
}

// seat is a member of a Group under test.
type seat struct {
	patient    string
	policy     string
	start, end time.Time
}

// group records a Group of members and returns its id.
func (b *bundle) group(seats ...seat) string {
	b.t.Helper()
	id := models.NewID()
	b.exec(`INSERT INTO groups (id, client_id, job_id, profile, blob_key, members, created_at) VALUES ($1, 'client', $1, $4, '', $2, $3)`, id, len(seats), b.now(), matchGroup)
	for _, s := range seats {
		b.exec(`INSERT INTO group_members (group_id, member_id, policy, consent_start, consent_end) VALUES ($1, $2, $3, $4, $5)`,
			id, models.MemberID(s.patient), s.policy, s.start, s.end)
	}
	return id
}

// export runs a whole export and returns its job, files and lines by type.
func (b *bundle) export(op models.Operation, params models.ExportParams) (*models.Job, []models.JobFile, map[string][]string) {
	b.t.Helper()
	id := b.job(op, params)
	b.write(id, must[ExportPlan](b.t, b.PrepareExport, id))
	return b.publishExport(id)
}

// write writes all chunks of an export, the one with what the others refer to last.
func (b *bundle) write(id string, plan ExportPlan) {
	b.t.Helper()
	for _, i := range rand.Perm(plan.Chunks) {
		must[ChunkResult](b.t, b.ExportChunk, ChunkInput{id, i})
	}
	if plan.Supporting {
		must[ChunkResult](b.t, b.ExportChunk, ChunkInput{id, plan.Chunks})
	}
}

func (b *bundle) publishExport(id string) (*models.Job, []models.JobFile, map[string][]string) {
	b.t.Helper()
	done := must[Published](b.t, b.PublishExport, id)
	require.Equal(b.t, done, must[Published](b.t, b.PublishExport, id), "a second attempt says the same")
	require.WithinDuration(b.t, b.now().Add(b.Retention), done.Expires, 0)
	job, err := b.Store.Job(b.t.Context(), id)
	require.NoError(b.t, err)
	require.Equal(b.t, models.StateCompleted, job.State)
	require.Empty(b.t, job.Accounting.Check())
	files, lines := b.files(id)
	require.Len(b.t, files, done.Files)
	var n int64
	for _, f := range files {
		if f.Kind == "output" {
			n += f.Lines
		}
	}
	require.Equal(b.t, job.Accounting.Written, n)
	b.walk(job, lines)
	return job, files, lines
}

// files downloads every file of a job and returns its lines, sorted, by type; those of files of another kind than output by
// that kind. The Provenance that names the transmitter is left out.
func (b *bundle) files(id string) ([]models.JobFile, map[string][]string) {
	b.t.Helper()
	files, err := b.Store.Files(b.t.Context(), id)
	require.NoError(b.t, err)
	lines := map[string][]string{}
	for i, f := range files {
		require.Equal(b.t, i, f.File)
		key := f.Type
		if f.Kind != "output" {
			key = f.Kind
		}
		raw := b.download(f)
		require.Len(b.t, raw, int(f.RawLen))
		require.EqualValues(b.t, f.Lines, strings.Count(raw, "\n"))
		require.Equal(b.t, uint32(f.CRC), crc32.ChecksumIEEE([]byte(raw)))
		for line := range strings.Lines(raw) {
			require.Equal(b.t, f.Type, fhir.ResourceTypeOf([]byte(line)))
			if resourceID(json.RawMessage(line)) == id {
				require.Equal(b.t, "Provenance", key, "what names the transmitter has the job's id")
				continue
			}
			lines[key] = append(lines[key], strings.TrimSuffix(line, "\n"))
		}
	}
	for _, l := range lines {
		slices.Sort(l)
	}
	return files, lines
}

// download puts a file together from its parts as a gzip file of one member and reads it as any client would.
func (b *bundle) download(f models.JobFile) string {
	b.t.Helper()
	_, parts, err := b.Store.File(b.t.Context(), f.JobID, f.File)
	require.NoError(b.t, err)
	out := bytes.NewBuffer(segment.Header())
	var sum segment.Sum
	for _, p := range parts {
		r, err := b.Files.ReadRange(b.t.Context(), p.BlobKey, p.Offset, p.Packed)
		require.NoError(b.t, err)
		n, err := io.Copy(out, r)
		require.NoError(b.t, err)
		require.NoError(b.t, r.Close())
		require.Equal(b.t, p.Packed, n)
		sum = sum.Add(segment.Sum{Lines: p.Lines, RawLen: p.Raw, CRC: p.CRC, PackedLen: p.Packed})
	}
	require.Equal(b.t, segment.Sum{Lines: f.Lines, RawLen: f.RawLen, CRC: uint32(f.CRC), PackedLen: f.PackedLen}, sum)
	out.Write(segment.Trailer(sum))
	rest := bytes.NewReader(out.Bytes())
	z, err := gzip.NewReader(rest)
	require.NoError(b.t, err)
	z.Multistream(false)
	raw, err := io.ReadAll(z)
	require.NoError(b.t, err)
	require.Zero(b.t, rest.Len(), "one member and nothing behind it")
	return string(raw)
}

// filtered returns what of the store's lines a test keeps, in the form of files.
func filtered(held map[string]stored, keep func(typ string, s stored) bool) map[string][]string {
	want := map[string][]string{}
	for key, s := range held {
		typ, _, _ := strings.Cut(key, "/")
		if keep(typ, s) {
			want[typ] = append(want[typ], s.body)
		}
	}
	for _, l := range want {
		slices.Sort(l)
	}
	return want
}

// population loads resources of n patients with dates over many years, some sensitive, one of a person without Patient,
// and shared ones.
func (b *bundle) population(n int) {
	b.t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	var text strings.Builder
	for p := range n {
		id := fmt.Sprintf("p%d", p)
		text.WriteString(patient(id, `,"meta":{`+updated(noon.AddDate(-p%9, 0, 0))+`},"birthDate":"1980-01-01"`))
		for i := range rng.IntN(40) {
			meta := updated(noon.AddDate(-rng.IntN(9), -rng.IntN(12), -rng.IntN(28)))
			if rng.IntN(5) == 0 {
				meta += `,"security":[{"code":"R"}]`
			}
			line := observation(fmt.Sprintf("%s-%d", id, i), id, meta, noise(rng, rng.IntN(300)))
			if rng.IntN(3) > 0 {
				line = strings.Replace(line, `"status"`, `"effectiveDateTime":"`+noon.AddDate(-rng.IntN(9), 0, -rng.IntN(300)).Format(time.DateOnly)+`","status"`, 1)
			}
			if rng.IntN(4) == 0 {
				line = strings.Replace(line, "Observation", "AllergyIntolerance", 1)
				line = strings.Replace(line, "subject", "patient", 1)
			}
			text.WriteString(line)
		}
	}
	for i := range 40 {
		text.WriteString(fmt.Sprintf(`{"resourceType":"Practitioner","id":"d%d"}`, i) + "\n")
	}
	text.WriteString(observation("orphan", "absent", "", "x"))
	text.WriteString(`{"resourceType":"Observation","id":"nobody","status":"final"}` + "\n")
	b.loadText(text.String(), models.ImportBackfill)
}

func code(name string) int16 {
	c, _ := fhir.TypeCode(name)
	return c
}

func TestExportLevelsAndWindows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.population(60)
	b.pass(time.Hour)
	held := b.current()
	isShared := func(id uuid.UUID) bool { return !models.IsMember(id) && id[14] == 0 }
	var seats []seat
	inGroup := map[uuid.UUID]bool{}
	for p := range 30 {
		seats = append(seats, seat{fmt.Sprintf("p%d", 2*p), consent.PolicySensitive, noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)})
		inGroup[models.MemberID(seats[p].patient)] = true
	}
	group := b.group(seats...)
	since, until := noon.AddDate(-4, 0, 0), noon.AddDate(-1, 0, 0)
	from := fhir.DayOf(noon.AddDate(-5, 0, 0))
	for name, p := range map[string]models.ExportParams{
		"all":           {},
		"types":         {Types: []int16{code("Observation"), code("Practitioner")}},
		"since":         {Since: &since},
		"until":         {Until: &until},
		"between":       {Since: &since, Until: &until},
		"look-back":     {ServiceFrom: &from},
		"everything":    {Types: []int16{code("Observation"), code("Patient")}, Since: &since, Until: &until, ServiceFrom: &from},
		"nothing":       {Types: []int16{code("Observation")}, Since: new(noon.AddDate(1, 0, 0))},
		"an empty type": {Types: []int16{code("Basic")}},
	} {
		for level, op := range map[string]models.Operation{"system": models.OpSystemExport, "Patient": models.OpPatientExport, "Group": models.OpDataExport} {
			t.Run(name+", "+level, func(t *testing.T) {
				t.Parallel()
				p := p
				if level == "Group" {
					p.GroupID = group
				}
				want := filtered(held, func(typ string, s stored) bool {
					covered := models.IsMember(s.member) && s.member != models.MemberID("absent")
					switch level {
					case "system":
						covered = covered || isShared(s.member)
					case "Group":
						covered = inGroup[s.member]
					}
					return covered && (len(p.Types) == 0 || slices.Contains(p.Types, code(typ))) &&
						(p.Since == nil || s.line.LastUpdated > p.Since.UnixMilli()) &&
						(p.Until == nil || s.line.LastUpdated < p.Until.UnixMilli()) &&
						(p.ServiceFrom == nil || s.line.ServiceEnd == segment.NoDate || s.line.ServiceEnd >= *p.ServiceFrom)
				})
				job, _, got := b.export(op, p)
				if p.ServiceFrom != nil {
					require.Len(t, got["error"], 1, "it is told that some were too old")
					require.Positive(t, job.Accounting.TooOld)
					delete(got, "error")
				}
				require.Equal(t, want, got)
				require.EqualValues(t, map[string]int{"system": 60, "Patient": 60, "Group": 30}[level], job.Accounting.Members)
				require.Zero(t, job.Accounting.Withheld)
				if name == "nothing" {
					require.Equal(t, job.Accounting.Members, job.Accounting.Empty)
					require.Empty(t, b.blobs("exports/"+job.ID), "no empty files are made")
				}
			})
		}
	}
}

func TestConsentAtExport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	label := `"security":[{"code":"R"}]`
	var text strings.Builder
	for _, p := range []string{"regular", "sensitive", "expired", "early", "hidden", "odd", "empty"} {
		if p == "empty" {
			continue
		}
		meta := ""
		if p == "hidden" {
			meta = `,"meta":{` + label + `}`
		}
		text.WriteString(patient(p, meta))
		text.WriteString(observation(p+"-secret", p, label, "x"))
		if p != "hidden" {
			text.WriteString(observation(p+"-plain", p, "", "x"))
		}
	}
	b.loadText(text.String(), models.ImportLive)
	b.pass(time.Minute)
	year, day := noon.AddDate(1, 0, 0), noon.AddDate(0, 0, -1)
	group := b.group(
		seat{"regular", consent.PolicyRegular, day, year}, seat{"sensitive", consent.PolicySensitive, day, year},
		seat{"expired", consent.PolicySensitive, day, b.now()}, seat{"early", consent.PolicySensitive, b.now().Add(time.Millisecond), year},
		seat{"hidden", consent.PolicyRegular, day, year}, seat{"odd", "http://example.org/policy", day, year}, seat{"empty", consent.PolicyRegular, day, year},
	)
	job, _, got := b.export(models.OpDataExport, models.ExportParams{GroupID: group})
	var ids []string
	for _, l := range got {
		for _, line := range l {
			ids = append(ids, resourceID(json.RawMessage(line)))
		}
	}
	slices.Sort(ids)
	require.Equal(t, []string{"regular", "regular-plain", "sensitive", "sensitive-plain", "sensitive-secret"}, ids)
	require.Equal(t, models.Accounting{
		Members: 7, Exported: 2, Empty: 2, Withheld: 3,
		Planned: 18, Written: 6, WithheldResources: 12, // with the transmitter's Provenance
	}, job.Accounting)

	// A consent that ends, and one that begins, while the export runs are seen by the chunks that come after.
	b.exec(`UPDATE group_members SET consent_end = $1 WHERE member_id = $2`, b.now().Add(time.Second), models.MemberID("sensitive"))
	id := b.job(models.OpDataExport, models.ExportParams{GroupID: group})
	plan := must[ExportPlan](t, b.PrepareExport, id)
	b.pass(time.Second)
	b.write(id, plan)
	_, _, got = b.publishExport(id)
	require.Equal(t, []string{"early", "regular"}, idsOf(got["Patient"]))
}

// An export stands at its snapshot: what imports bring later it does not see, and what they replace it does.
func TestExportSeesItsSnapshot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.loadText(patient("p", "")+observation("o", "p", "", "old")+observation("gone", "p", "", "x"), models.ImportLive)
	b.pass(time.Minute)
	id := b.job(models.OpPatientExport, models.ExportParams{})
	plan := must[ExportPlan](t, b.PrepareExport, id)
	want := filtered(b.current(), func(string, stored) bool { return true })
	b.loadText(patient("q", "")+observation("o", "p", "", "new")+observation("more", "p", "", "x")+deletes("Observation/gone"), models.ImportLive)
	require.Equal(t, plan, must[ExportPlan](t, b.PrepareExport, id), "the plan does not move")
	b.write(id, plan)
	first, _, got := b.publishExport(id)
	require.Equal(t, want, got)

	// The delta chained to it brings exactly what has changed since, also while the next import is on its way.
	flying, _ := b.scanned(b.folder(map[string]string{"a.ndjson": observation("o", "p", "", "newest")}), models.ImportLive)
	ok(t, b.TakeTurn, flying)
	ok(t, b.MergeBucket, BucketInput{flying, 0})
	b.pass(time.Minute)
	second, _, got := b.export(models.OpPatientExport, models.ExportParams{Since: first.TransactionTime})
	require.Equal(t, []string{"more", "o"}, idsOf(got["Observation"]))
	require.Equal(t, []string{`{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Observation/gone"}}]}`}, got["deleted"])
	require.Contains(t, got["Observation"][1], `"new"`)
	require.Equal(t, []string{"q"}, idsOf(got["Patient"]))
	b.finish(flying)
	b.pass(time.Minute)
	_, _, got = b.export(models.OpPatientExport, models.ExportParams{Since: second.TransactionTime})
	require.Equal(t, []string{"o"}, idsOf(got["Observation"]), "what was in flight is in the next one")
	require.Empty(t, got["Patient"])
	require.Zero(t, b.count("segments WHERE valid_to < 'infinity'"), "nobody needs the old versions any more")
}

func idsOf(lines []string) []string {
	var ids []string
	for _, l := range lines {
		ids = append(ids, resourceID(json.RawMessage(l)))
	}
	slices.Sort(ids)
	return ids
}

// Of attempts that race for a chunk one counts; the others leave nothing.
func TestChunkRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.population(10)
	b.pass(time.Hour)
	id := b.job(models.OpPatientExport, models.ExportParams{Types: []int16{code("Patient"), code("Observation"), code("AllergyIntolerance")}})
	plan := must[ExportPlan](t, b.PrepareExport, id)
	require.Equal(t, 1, plan.Chunks)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			res := must[ChunkResult](t, b.ExportChunk, ChunkInput{id, 0})
			require.Equal(t, plan.Resources, res.Planned)
		})
	}
	wg.Wait()
	require.Len(t, b.blobs("exports"), 1)
	_, _, got := b.publishExport(id)
	require.Equal(t, filtered(b.current(), func(_ string, s stored) bool {
		return models.IsMember(s.member) && s.member != models.MemberID("absent")
	}), got)
	require.Len(t, b.blobs("exports"), 1)

	ok(t, b.PurgeJob, id)
	require.Empty(t, b.blobs("exports"))
	require.Zero(t, b.count("export_parts")+b.count("export_chunks")+b.count("job_files"))
	require.Equal(t, 1, b.count("jobs"), "the job stays for the record")
}

// An export of many small chunks has few files all the same.
func TestManyChunksMakeFewFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.population(60)
	b.pass(time.Hour)
	id := b.job(models.OpPatientExport, models.ExportParams{})
	_, err := b.Store.StartJob(t.Context(), id, "exporting", b.now())
	require.NoError(t, err)
	job, err := b.Store.Job(t.Context(), id)
	require.NoError(t, err)
	var plan []store.Chunk
	require.NoError(t, b.Store.Loads(t.Context(), "", "", nil, nil, *job.TransactionTime, func(l store.Load) error {
		plan = append(plan, store.Chunk{JobID: id, Chunk: len(plan), Lo: l.Member, Hi: l.Member, Members: 1, Planned: l.Lines})
		return nil
	}))
	require.Len(t, plan, 60)
	require.NoError(t, b.Store.SavePlan(t.Context(), id, plan))
	require.Equal(t, 60, must[ExportPlan](t, b.PrepareExport, id).Chunks)
	for _, i := range rand.Perm(60) {
		must[ChunkResult](t, b.ExportChunk, ChunkInput{id, i})
	}
	require.Len(t, b.blobs("exports"), 60)
	_, files, got := b.publishExport(id)
	require.Len(t, files, 3, "one for each type")
	require.Equal(t, filtered(b.current(), func(_ string, s stored) bool {
		return models.IsMember(s.member) && s.member != models.MemberID("absent")
	}), got)
}

func TestFilesAreClosedWhenFull(t *testing.T) {
	t.Parallel()
	var files []models.JobFile
	add := func(chunk int, typ int16, lines, packed int64) {
		files = addPart(files, "j", chunk, store.Part{Type: typ, Lines: lines, Packed: packed, Raw: 10 * packed, CRC: 7})
	}
	add(0, 1, fileLines-1, 10)
	add(1, 1, 1, 10)           // just fits
	add(2, 1, 1, 10)           // does not
	add(2, 1, fileLines, 10)   // a chunk is never split
	add(3, 1, 1, filePacked)   // full by bytes
	add(4, 2, 1, 1)            // another type
	add(9, 2, 1, filePacked)   // one too much
	add(10, 3, fileLines*2, 1) // more than a file in one part
	var got [][4]int64
	for _, f := range files {
		code := code(f.Type)
		got = append(got, [4]int64{int64(code), int64(f.FirstChunk), int64(f.LastChunk), f.Lines})
	}
	require.Equal(t, [][4]int64{{1, 0, 1, fileLines}, {1, 2, 2, fileLines + 1}, {1, 3, 3, 1}, {2, 4, 4, 1}, {2, 9, 9, 1}, {3, 10, 10, 2 * fileLines}}, got)
}

func TestPlan(t *testing.T) {
	t.Parallel()
	member := func(i int) uuid.UUID { return uuid.UUID{byte(i >> 16), byte(i >> 8), byte(i)} }
	for name, tc := range map[string]struct {
		members int
		packed  int64
		chunks  int
	}{
		"none":              {0, 0, 0},
		"one":               {1, 100, 1},
		"small":             {1000, 1000, 1},
		"shared by workers": {10_000, 4000, 5},
		"large":             {10_000, 64_000, 20},
		"huge members":      {3, 200 << 20, 3},
		"empty members":     {120_000, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var atoms []atom
			for i := range tc.members {
				atoms = addLoad(atoms, store.Load{Member: member(i), Lines: 3, Packed: tc.packed}, false)
			}
			for i := range 16 {
				atoms = addLoad(atoms, store.Load{Member: models.SharedID("Practitioner", fmt.Sprint(i)), Lines: 1, Packed: 10}, true)
			}
			chunks := joinAtoms("j", atoms)
			shared := chunks[len(chunks)-1]
			require.Equal(t, store.Chunk{JobID: "j", Chunk: len(chunks) - 1, Lo: shared.Lo, Hi: shared.Hi, Planned: 16}, shared)
			chunks = chunks[:len(chunks)-1]
			require.InDelta(t, tc.chunks, len(chunks), 1)
			next, lines := 0, int64(0)
			for i, c := range chunks {
				require.Equal(t, i, c.Chunk)
				require.Equal(t, member(next), c.Lo)
				next += c.Members
				require.Equal(t, member(next-1), c.Hi)
				require.LessOrEqual(t, c.Members, chunkMembers)
				lines += c.Planned
			}
			require.Equal(t, tc.members, next)
			require.EqualValues(t, 3*tc.members, lines)
		})
	}
}

func TestExportsThatCannotBeDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.population(3)
	b.pass(time.Hour)
	id := b.job(models.OpPatientExport, models.ExportParams{})
	_, err := run(t, b.ExportChunk, ChunkInput{id, 0})
	requireFinal(t, err, models.KindConflict) // it has not begun
	must[ExportPlan](t, b.PrepareExport, id)
	_, err = run(t, b.ExportChunk, ChunkInput{id, 7})
	requireFinal(t, err, models.KindNotFound)
	_, err = run(t, b.PublishExport, id)
	require.Contains(t, requireFinal(t, err, models.KindConflict), "not published")

	must[ChunkResult](t, b.ExportChunk, ChunkInput{id, 0})
	must[ChunkResult](t, b.ExportChunk, ChunkInput{id, 1}) // the shared resources it refers to
	b.exec(`UPDATE export_chunks SET accounting = jsonb_set(accounting, '{written}', '1') WHERE chunk = 0`)
	_, err = run(t, b.PublishExport, id)
	require.Contains(t, requireFinal(t, err, models.KindConflict), "do not add up")

	ok(t, b.FailJob, FailInput{JobID: id, State: models.StateFailed, Reason: "so it is"})
	require.NotEmpty(t, b.blobs("exports"), "it may go on")
	counts, err := b.Store.Blobs(t.Context(), id)
	require.NoError(t, err)
	for _, key := range b.blobs("exports") {
		require.True(t, counts[key], "a sweep of files lets it be")
	}
	job, err := b.Store.Job(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, models.StateFailed, job.State)
	require.Equal(t, "so it is", job.Error)
	for _, again := range []error{second(run(t, b.PrepareExport, id)), second(run(t, b.ExportChunk, ChunkInput{id, 0}))} {
		requireFinal(t, again, models.KindConflict)
	}
	_, err = run(t, b.PrepareExport, models.NewID())
	requireFinal(t, err, models.KindNotFound)
	ok(t, b.PurgeJob, id)
	require.Empty(t, b.blobs("exports"))

	// What is completed stays, whoever says afterwards that it failed.
	done, _, want := b.export(models.OpPatientExport, models.ExportParams{})
	ok(t, b.FailJob, FailInput{JobID: done.ID, State: models.StateCancelled, Reason: "too late"})
	_, got := b.files(done.ID)
	require.Equal(t, want, got)
	require.NotEmpty(t, got)
	require.NoError(t, b.Store.DeleteJob(t.Context(), done.ID, b.now()))
	ok(t, b.FailJob, FailInput{JobID: done.ID, State: models.StateCancelled, Reason: "deleted by its client"})
	require.Empty(t, b.blobs("exports"))
}

// A Group keeps its members when a Patient is deleted, be it as a duplicate or as nobody's. What else is held of them leaves at no level.
func TestNothingLeavesOfADeletedPatient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.loadText(patient("p", "")+observation("o", "p", "", "x")+
		`{"resourceType":"Encounter","id":"e","subject":{"reference":"Patient/p"},"serviceProvider":{"reference":"Organization/theirs"}}`+"\n"+
		patient("q", "")+observation("oq", "q", "", "x")+`{"resourceType":"Organization","id":"theirs"}`+"\n", models.ImportLive)
	year := noon.AddDate(1, 0, 0)
	group := b.group(seat{"p", consent.PolicySensitive, noon.AddDate(-1, 0, 0), year}, seat{"q", consent.PolicyRegular, noon.AddDate(-1, 0, 0), year})
	since := b.now()
	b.loadText(deletes("Patient/p"), models.ImportLive)
	b.pass(time.Hour)
	for _, p := range []models.ExportParams{{}, {Types: []int16{code("Observation")}}} {
		p.GroupID = group
		job, _, lines := b.export(models.OpGroupExport, p)
		require.NotContains(t, fmt.Sprint(lines), "Patient/p")
		require.NotContains(t, ids(lines), "Organization/theirs")
		require.Contains(t, fmt.Sprint(lines), `"id":"oq"`)
		require.EqualValues(t, 1, job.Accounting.Exported)
		require.EqualValues(t, 1, job.Accounting.Empty)
	}
	_, _, lines := b.export(models.OpGroupExport, models.ExportParams{GroupID: group, Since: &since})
	require.Len(t, lines["deleted"], 1)
	require.Contains(t, lines["deleted"][0], `"Patient/p"`)
}

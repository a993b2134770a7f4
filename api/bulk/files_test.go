package bulk_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// filed is a finished export with one file of Patients, whose lines lie in three blobs.
type filed struct {
	*apitest.Caller
	job   *models.Job
	path  string
	plain string
	blobs []string
	at    []int // where in plain each blob's lines begin
}

func newFile(t *testing.T) *filed {
	t.Helper()
	a := apitest.New(t, unlimited)
	f := &filed{Caller: a.Client(t, "backend", models.ClientBackend, "")}
	f.job = f.KickOff(t, http.MethodGet, "/fhir/$export", "")
	_, err := f.Store.StartJob(t.Context(), f.job.ID, "exporting", time.Now())
	require.NoError(t, err)
	var plan []store.Chunk
	for i := range 3 {
		plan = append(plan, store.Chunk{JobID: f.job.ID, Chunk: i, Lo: uuid.New(), Hi: uuid.New(), Members: 1, Planned: 400})
	}
	require.NoError(t, f.Store.SavePlan(t.Context(), f.job.ID, plan))
	code, _ := fhir.TypeCode("Patient")
	file := models.JobFile{JobID: f.job.ID, Kind: "output", Type: "Patient", LastChunk: 2}
	var total segment.Sum
	random := rand.New(rand.NewPCG(1, 2))
	for chunk := range 3 {
		content := []byte("before") // another type's lines
		var parts []store.Part
		f.at = append(f.at, len(f.plain))
		for part := range 2 {
			var lines strings.Builder
			for i := range 200 {
				fmt.Fprintf(&lines, `{"resourceType":"Patient","id":"%d-%d-%d","x":"%x"}`+"\n", chunk, part, i, random.Uint64())
			}
			packed, sum, err := segment.Pack(nil, []byte(lines.String()))
			require.NoError(t, err)
			parts = append(parts, store.Part{
				Type: code, Part: int16(part), Offset: int64(len(content)), Packed: sum.PackedLen, Raw: sum.RawLen, Lines: sum.Lines, CRC: sum.CRC,
			})
			content = append(append(content, packed...), "between"...)
			f.plain += lines.String()
			total = total.Add(sum)
		}
		key := fmt.Sprintf("exports/%s/%d", f.job.ID, chunk)
		putBlob(t, f.Caller, key, content)
		f.blobs = append(f.blobs, key)
		won, err := f.Store.PublishChunk(t.Context(), f.job.ID, chunk, models.NewID(), key, models.Accounting{}, parts, store.Referred{})
		require.NoError(t, err)
		require.True(t, won)
	}
	file.Lines, file.RawLen, file.PackedLen, file.CRC = total.Lines, total.RawLen, total.PackedLen, int32(total.CRC)
	done, err := f.Store.CompleteJob(t.Context(), f.job.ID, []models.JobFile{file}, models.Accounting{}, time.Now(), time.Now().Add(time.Hour), nil)
	require.NoError(t, err)
	require.True(t, done)
	f.path = "/fhir/bulk-files/" + f.job.ID + "/0.Patient.ndjson"
	return f
}

func (f *filed) get(t *testing.T, headers ...string) *apitest.Answer {
	t.Helper()
	return f.Do(t, http.MethodGet, f.path, "", headers...)
}

func TestFileForms(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	whole := f.get(t, "Accept-Encoding: gzip")
	require.Equal(t, http.StatusOK, whole.StatusCode)
	require.Equal(t, f.plain, gunzip(t, whole.Text), "one gzip member holds it all")

	for header, zipped := range map[string]bool{
		"":                              false,
		"identity":                      false,
		"gzip":                          true,
		"x-gzip":                        true,
		"GZIP;q=0.5":                    true,
		"gzip, deflate, br":             true,
		"gzip, deflate, br, identity":   true,
		"br;q=1.0, gzip;q=0.8, *;q=0.1": true,
		"*":                             true,
		"*;q=0":                         false,
		"gzip;q=0":                      false,
		"gzip; q=0.0":                   false,
		"gzip;q=0, *":                   false,
		"deflate, br":                   false,
		"gzip;q=nan":                    false,
	} {
		t.Run(header, func(t *testing.T) {
			headers := []string{"Accept-Encoding: " + header}
			if header == "" {
				headers = nil
			}
			resp := f.get(t, headers...)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, "application/fhir+ndjson", resp.Header.Get("Content-Type"))
			require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
			require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
			require.Equal(t, "Accept-Encoding", resp.Header.Get("Vary"))
			require.Equal(t, "bytes", resp.Header.Get("Accept-Ranges"))
			require.Equal(t, strconv.Itoa(len(resp.Text)), resp.Header.Get("Content-Length"))
			want := f.plain
			if zipped {
				want = whole.Text
				require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
			} else {
				require.Empty(t, resp.Header.Get("Content-Encoding"))
			}
			require.Equal(t, want, resp.Text)
			require.Equal(t, zipped, resp.Header.Get("ETag") == whole.Header.Get("ETag"), "each form has a tag of its own")

			head := f.Do(t, http.MethodHead, f.path, "", headers...)
			require.Equal(t, http.StatusOK, head.StatusCode)
			require.Empty(t, head.Text)
			for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding", "ETag", "Accept-Ranges"} {
				require.Equal(t, resp.Header.Get(name), head.Header.Get(name), name)
			}
		})
	}
}

func TestFileRanges(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	for _, coding := range []string{"identity", "gzip"} {
		t.Run(coding, func(t *testing.T) {
			t.Parallel()
			encoding := "Accept-Encoding: " + coding
			all := f.get(t, encoding)
			size, tag := len(all.Text), all.Header.Get("ETag")
			single := [][2]int{{0, 0}, {0, 9}, {5, 15}, {10, 11}, {size - 1, size - 1}, {size - 10, size - 1}, {size - 15, size - 5}, {0, size - 1}, {1, size - 1}, {size / 2, size/2 + 5000}}
			for _, at := range f.at { // across the seams of the blobs
				if at > 0 {
					single = append(single, [2]int{at - 1, at}, [2]int{at, at}, [2]int{at - 700, min(at+700, size-1)})
				}
			}
			for _, r := range single {
				if r[0] < 0 || r[1] >= size || r[0] > r[1] {
					continue
				}
				resp := f.get(t, encoding, fmt.Sprintf("Range: bytes=%d-%d", r[0], r[1]))
				require.Equal(t, http.StatusPartialContent, resp.StatusCode, r)
				require.Equal(t, all.Text[r[0]:r[1]+1], resp.Text, r)
				require.Equal(t, fmt.Sprintf("bytes %d-%d/%d", r[0], r[1], size), resp.Header.Get("Content-Range"))
				require.Equal(t, strconv.Itoa(len(resp.Text)), resp.Header.Get("Content-Length"))
				require.Equal(t, tag, resp.Header.Get("ETag"))
				require.Equal(t, all.Header.Get("Content-Encoding"), resp.Header.Get("Content-Encoding"))
			}
			// A download that broke off goes on from where it was.
			resp := f.get(t, encoding, "Range: bytes=1000-", "If-Range: "+tag)
			require.Equal(t, all.Text[1000:], resp.Text)
			require.Equal(t, all.Text[size-7:], f.get(t, encoding, "Range: bytes=-7").Text)
			require.Equal(t, all.Text[size-7:], f.get(t, encoding, fmt.Sprintf("Range: bytes=%d-%d", size-7, size+999)).Text)

			// What is not for this file, or no range that is honoured, gets the whole, with its length.
			many := "bytes=0-1" + strings.Repeat(",3-4", 20)
			for _, headers := range [][]string{
				{"Range: bytes=0-9", `If-Range: "another"`},
				{"Range: bytes=0-9", "If-Range: " + time.Now().UTC().Format(http.TimeFormat)},
				{"Range: lines=0-9"},
				{"Range: bytes=x"},
				{"Range: bytes=5"},
				{"Range: " + many},
				{"Range: bytes=0-1", "Range: bytes=4-5"},
				{"Range: "},
			} {
				resp := f.get(t, append(headers, encoding)...)
				require.Equal(t, http.StatusOK, resp.StatusCode, headers)
				require.Equal(t, strconv.Itoa(size), resp.Header.Get("Content-Length"), headers)
				require.Equal(t, all.Text, resp.Text, headers)
			}

			resp = f.get(t, encoding, fmt.Sprintf("Range: bytes=%d-", size))
			require.Equal(t, "http.Range", resp.Refused(t, 416).At())
			require.Equal(t, fmt.Sprintf("bytes */%d", size), resp.Header.Get("Content-Range"))
			require.Empty(t, resp.Header.Get("Content-Encoding"))
			f.get(t, encoding, "Range: bytes=9-5").Refused(t, 416)

			for _, header := range []string{"If-None-Match: " + tag, `If-None-Match: "x", ` + tag, "If-None-Match: *"} {
				resp := f.get(t, encoding, header)
				require.Equal(t, http.StatusNotModified, resp.StatusCode)
				require.Empty(t, resp.Text)
				require.Equal(t, tag, resp.Header.Get("ETag"))
			}
			require.Equal(t, http.StatusPreconditionFailed, f.get(t, encoding, `If-Match: "x"`).StatusCode)
		})
	}
}

func TestFileSeveralRanges(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	for _, coding := range []string{"identity", "gzip"} {
		all := f.get(t, "Accept-Encoding: "+coding).Text
		ranges := [][2]int{{0, 3}, {1000, 1999}, {len(all) - 10, len(all) - 1}, {7, 7}}
		var asked []string
		for _, r := range ranges {
			asked = append(asked, fmt.Sprintf("%d-%d", r[0], r[1]))
		}
		resp := f.get(t, "Accept-Encoding: "+coding, "Range: bytes="+strings.Join(asked, ", "))
		require.Equal(t, http.StatusPartialContent, resp.StatusCode)
		require.Equal(t, strconv.Itoa(len(resp.Text)), resp.Header.Get("Content-Length"))
		media, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		require.NoError(t, err)
		require.Equal(t, "multipart/byteranges", media)
		parts := multipart.NewReader(strings.NewReader(resp.Text), params["boundary"])
		for _, r := range ranges {
			p, err := parts.NextRawPart()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("bytes %d-%d/%d", r[0], r[1], len(all)), p.Header.Get("Content-Range"))
			text, err := io.ReadAll(p)
			require.NoError(t, err)
			require.Equal(t, all[r[0]:r[1]+1], string(text))
		}
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	folder := "/fhir/bulk-files/" + f.job.ID + "/"
	for _, name := range []string{
		"1.Patient.ndjson", "0.Coverage.ndjson", "0.patient.ndjson", "0.Patient", "0", "00.Patient.ndjson", "+0.Patient.ndjson", "-0.Patient.ndjson",
		"-1.Patient.ndjson", "0.Patient.ndjson.gz", "99999999999999999999.Patient.ndjson", "3000000000.Patient.ndjson", "0.Patient.ndjson%00",
		"0.Patient.ndjson%2F", "..%2F" + f.job.ID + "%2F0.Patient.ndjson", "%2e%2e", "0x0.Patient.ndjson", "%EF%BC%90.Patient.ndjson", ".", "..", "", "0.Patient.ndjson/", "0.Patient.ndjson/..",
	} {
		f.Do(t, http.MethodGet, folder+name, "").Refused(t, 404)
	}
	f.Do(t, http.MethodGet, strings.Replace(f.path, f.job.ID, models.NewID(), 1), "").Refused(t, 404)
	f.Do(t, http.MethodGet, strings.Replace(f.path, f.job.ID, strings.ToUpper(f.job.ID), 1), "").Refused(t, 404)
	require.Equal(t, http.StatusOK, f.get(t).StatusCode)
}

func TestFileAccess(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	f.API.Do(t, http.MethodGet, f.path, "").Refused(t, 401)
	f.API.Client(t, "other", models.ClientBackend, "").Do(t, http.MethodGet, f.path, "").Refused(t, 404)
	for scope, want := range map[string]int{
		"system/Patient.rs": 200, "system/*.read": 200, "system/Coverage.rs": 403, "system/Patient.r": 403, apitest.MatchScope: 403,
	} {
		resp := f.Login(t, "backend", scope).Do(t, http.MethodGet, f.path, "")
		require.Equal(t, want, resp.StatusCode, scope)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
		resp := f.Do(t, method, f.path, "")
		resp.Refused(t, 405)
		require.Equal(t, "GET, HEAD", resp.Header.Get("Allow"))
	}
	// Before the job is done there is no file, after it has expired no more.
	running := f.KickOff(t, http.MethodGet, "/fhir/Patient/$export", "")
	f.Do(t, http.MethodGet, "/fhir/bulk-files/"+running.ID+"/0.Patient.ndjson", "").Refused(t, 404)
	_, err := f.Store.DB.NewUpdate().Table("jobs").Set("expires_at = now() - interval '1 second'").Where("id = ?", f.job.ID).Exec(t.Context())
	require.NoError(t, err)
	f.get(t).Refused(t, 410)
}

// A file that is gone before its first byte is an error; one that goes on the way is cut off, so that nobody takes it for
// whole.
func TestFileThatVanishes(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	require.NoError(t, f.Files.Delete(t.Context(), f.blobs[2]))
	for _, coding := range []string{"identity", "gzip"} {
		for _, header := range []string{"X-Nothing: x", "Range: bytes=1-", "Range: bytes=0-1,9-999999999"} {
			resp, err := f.Try(t.Context(), http.MethodGet, f.path, http.NoBody, "Authorization: Bearer "+f.Token, "Accept-Encoding: "+coding, header)
			require.Error(t, err, "%s, %s: %+v", coding, header, resp)
		}
	}
	require.Contains(t, f.Log(), "could not be served to its end")
	require.Equal(t, f.plain[:100], f.get(t, "Range: bytes=0-99").Text, "what is there is served")
	for _, key := range f.blobs {
		require.NoError(t, f.Files.Delete(t.Context(), key))
	}
	f.get(t).Refused(t, 404)
}

// Damage in the store is noticed and not passed on as if it were sound.
func TestFileThatIsDamaged(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	name := filepath.Join(f.Dir, f.blobs[1])
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	content[len(content)/4] ^= 0xff // in the first of two runs
	require.NoError(t, os.WriteFile(name, content, 0o600))
	_, err = f.Try(t.Context(), http.MethodGet, f.path, http.NoBody, "Authorization: Bearer "+f.Token)
	require.Error(t, err)
	require.Contains(t, f.Log(), "could not be served to its end")
	// Packed bytes go out as they are; the checksum at the end tells the client.
	resp := f.get(t, "Accept-Encoding: gzip")
	z, err := newGzip(strings.NewReader(resp.Text))
	require.NoError(t, err)
	_, err = io.ReadAll(z)
	require.Error(t, err)
}

// Clients that leave in the middle, several ranges at once among them, do no harm.
func TestFileClientsThatLeave(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.Root+f.path, http.NoBody)
			if err != nil {
				return
			}
			req.Header.Set("Authorization", "Bearer "+f.Token)
			if i%2 == 0 {
				req.Header.Set("Range", "bytes=0-20000,20001-40000")
			}
			if resp, err := f.HTTP.Do(req); err == nil {
				_, _ = io.CopyN(io.Discard, resp.Body, 100)
				_ = resp.Body.Close()
			}
		})
	}
	wg.Wait()
	require.Equal(t, f.plain, f.get(t).Text)
}

package server

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
)

// scanned is what a body comes to when it is read in pieces of one byte.
func scanned(s shape, contentType, text string) error {
	var err error
	h := s.bounded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err = io.Copy(io.Discard, iotest.OneByteReader(r.Body))
	}))
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
	r.Header.Set("Content-Type", contentType)
	h.ServeHTTP(httptest.NewRecorder(), r)
	return err
}

func TestShape(t *testing.T) {
	t.Parallel()
	s := shape{depth: 4, members: 3}
	for _, tt := range []struct {
		name, media, text string
		ok                bool
	}{
		{"small", "application/json", `{"a":[{"b":1}]}`, true},
		{"as deep as it may be", "application/json", `[[[[]]]]`, true},
		{"too deep", "application/json", `[[[[[]]]]]`, false},
		{"too deep in objects", "application/fhir+json", `{"a":{"a":{"a":{"a":{}}}}}`, false},
		{"a bomb that never ends", "application/json; charset=utf-8", strings.Repeat(`[`, 100_000), false},
		{"as many members", "application/json", `{"a":1,"b":2,"c":3}`, true},
		{"too many members", "application/json", `{"a":1,"b":2,"c":3,"d":4}`, false},
		{"members of siblings do not add up", "application/json", `[{"a":1,"b":2,"c":3},{"a":1,"b":2,"c":3}]`, true},
		{"nor those within", "application/json", `{"a":{"x":1,"y":2,"z":3},"b":{"x":1,"y":2,"z":3},"c":3}`, true},
		{"but those behind do", "application/json", `{"a":{"x":1},"b":{},"c":3,"d":4}`, false},
		{"text is no structure", "application/json", `{"a":"[[[[[[[[{:::::::\"[[[[[[\\"}`, true},
		{"behind an escaped quote", "application/json", `["\"",[[[[]]]]]`, false},
		{"long lists are let be", "application/json", `[` + strings.Repeat(`1,`, 10_000) + `1]`, true},
		{"closed too often", "application/json", `]]]]}}}}[[[[]]]]`, true},
		{"not JSON", "application/x-www-form-urlencoded", strings.Repeat(`[`, 100), true},
		{"no type", "", strings.Repeat(`[`, 100), true},
	} {
		err := scanned(s, tt.media, tt.text)
		if tt.ok {
			require.NoError(t, err, tt.name)
			continue
		}
		require.Equal(t, models.KindUnprocessable, models.KindOf(err), tt.name)
	}
	require.NoError(t, scanned(shape{}, "application/json", strings.Repeat(`[`, 50_000)), "without limits")
	require.Error(t, scanned(shape{members: 1}, "application/json", strings.Repeat(`[`, 1000)+`{"a":1,"b":2`), "without a limit to depth")
}

// What passes is what encoding/json finds within the limits.
func TestShapeAgreesWithJSON(t *testing.T) {
	t.Parallel()
	s := shape{depth: 3, members: 2}
	rapid.Check(t, func(t *rapid.T) {
		v := anyJSON(5).Draw(t, "v")
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got := scanned(s, "application/json", string(text)) == nil; got != within(v, 3, 2) {
			t.Fatalf("%s: %t", text, got)
		}
	})
}

func anyJSON(depth int) *rapid.Generator[any] {
	text := rapid.StringMatching(`[][{}":,\\a]{0,3}`)
	leaf := rapid.Custom(func(t *rapid.T) any { return text.Draw(t, "text") })
	if depth == 0 {
		return leaf
	}
	return rapid.OneOf(leaf,
		rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(anyJSON(depth-1), 0, 3).Draw(t, "list") }),
		rapid.Custom(func(t *rapid.T) any { return rapid.MapOfN(text, anyJSON(depth-1), 0, 3).Draw(t, "object") }))
}

func within(v any, depth, members int) bool {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if depth == 1 && nested(e) || !within(e, depth-1, members) {
				return false
			}
		}
		return depth > 0
	case map[string]any:
		for _, e := range v {
			if depth == 1 && nested(e) || !within(e, depth-1, members) {
				return false
			}
		}
		return depth > 0 && len(v) <= members
	default:
		return true
	}
}

func nested(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}

func FuzzShape(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":"\""}]}`, `[[[[[`, `}}}}`, `"\\`, ``} {
		f.Add(text, 3)
	}
	f.Fuzz(func(t *testing.T, text string, cut int) {
		whole, pieces := &jsonScan{limits: shape{5, 5}}, &jsonScan{limits: shape{5, 5}}
		cut = max(0, min(cut, len(text)))
		one := whole.add([]byte(text)) == nil
		two := pieces.add([]byte(text[:cut])) == nil && pieces.add([]byte(text[cut:])) == nil
		require.Equal(t, one, two, "it makes no difference how it is cut")
	})
}

func BenchmarkShape(b *testing.B) {
	text := bytes.Repeat([]byte(`{"resourceType":"Patient","id":"a","name":[{"family":"Doe","given":["Jane"]}]}`), 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := (&jsonScan{limits: shape{64, 2000}}).add(text); err != nil {
			b.Fatal(err)
		}
	}
}

// A client that takes its answer slowly gets it whole; one that takes nothing is cut off, and others are served meanwhile.
func TestStalledClientsAreCutOff(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	ended := make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /big", func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, io.LimitReader(zeros{}, size))
		ended <- err
	})
	mux.HandleFunc("GET /small", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	srv := httptest.NewServer(paced(200*time.Millisecond, mux))
	t.Cleanup(srv.Close)
	resp, err := srv.Client().Get(srv.URL + "/big")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Error(t, <-ended) // nothing is read
	small, text := get(t, srv.URL+"/small")
	require.Equal(t, []any{200, "ok"}, []any{small.StatusCode, text})
}

func TestSlowClientsAreNot(t *testing.T) {
	t.Parallel()
	const size, stall = 12 << 20, time.Second
	srv := httptest.NewServer(paced(stall, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(zeros{}, size))
	})))
	t.Cleanup(srv.Close)
	resp, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	n, began := int64(0), time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n < size {
		<-tick.C // it takes some 128 KiB each time, for longer than a stall on the whole
		m, err := io.CopyN(io.Discard, resp.Body, 128<<10)
		require.NoError(t, err)
		n += m
	}
	require.Greater(t, time.Since(began), stall)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Answers of every way of writing come whole, over one connection, long after the deadline of the last.
func TestPacedAnswersAreWhole(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	ways := []func(w http.ResponseWriter, r *http.Request){
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, bytes.NewReader(data)) },
		func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.(io.ReaderFrom).ReadFrom(struct{ io.Reader }{bytes.NewReader(data)})
		},
		func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.(io.ReaderFrom).ReadFrom(io.LimitReader(io.MultiReader(bytes.NewReader(data), zeros{}), int64(len(data))))
		},
		func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		},
	}
	turn := 0
	srv := httptest.NewServer(paced(50*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ways[turn](w, r) })))
	t.Cleanup(srv.Close)
	for turn = range ways {
		_, text := get(t, srv.URL)
		require.Equal(t, string(data), text, turn)
		pause := time.NewTimer(60 * time.Millisecond) // beyond the deadline of this answer
		<-pause.C
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	b := newBuckets(2, 3)
	for range 3 {
		require.Zero(t, b.take("a", at))
	}
	require.Equal(t, 1, b.take("a", at))
	require.Zero(t, b.take("b", at), "another is not affected")
	require.Equal(t, 1, b.take("a", at), "a refusal costs nothing")
	require.Zero(t, b.take("a", at.Add(500*time.Millisecond)))
	require.Equal(t, 1, b.take("a", at.Add(500*time.Millisecond)))
	for range 3 {
		require.Zero(t, b.take("a", at.Add(time.Hour)))
	}
	slow := newBuckets(0.1, 1)
	require.Zero(t, slow.take("a", at))
	require.Equal(t, 11, slow.take("a", at))
	none := newBuckets(0, 0)
	for range 1000 {
		require.Zero(t, none.take("a", at))
	}
	for i := range 3 * maxBuckets {
		b.take(strings.Repeat("x", i%7)+time.Duration(i).String(), at.Add(time.Hour))
	}
	require.LessOrEqual(t, len(b.held), maxBuckets)
}

// A body that trickles is given up, and others are served meanwhile.
func TestTricklingBodies(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	srv := httptest.NewServer(prompt(100*time.Millisecond, 1<<10, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost {
			ended <- err
		}
		_, _ = io.WriteString(w, "ok")
	})))
	t.Cleanup(srv.Close)
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
	require.NoError(t, err)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if resp, err := srv.Client().Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	_, err = feed.Write([]byte("x"))
	require.NoError(t, err)
	_, text := get(t, srv.URL)
	require.Equal(t, "ok", text)
	require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
	require.NoError(t, feed.Close())
	<-answered
}

// What is left of the time for a body does not bound the work that follows: the server's watch for the client's leaving would
// take a deadline for it.
func TestDeadlineEndsWithTheBody(t *testing.T) {
	t.Parallel()
	alive := make(chan bool, 1)
	const patience = 50 * time.Millisecond
	srv := httptest.NewServer(prompt(patience, 1<<10, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			alive <- false
			return
		}
		select {
		case <-r.Context().Done():
			alive <- false
		case <-time.After(4 * patience):
			alive <- true
		}
	})))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader("all of it"))
	require.NoError(t, err)
	resp, err := srv.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.True(t, <-alive)
}

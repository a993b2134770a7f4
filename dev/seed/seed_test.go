package seed_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/dev/seed"
)

var anchor = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

func demo() seed.Options {
	return seed.Options{Seed: 7, Members: seed.DemoMembers, Anchor: anchor}
}

// memory is a place to generate into.
type memory map[string]*bytes.Buffer

type closer struct{ *bytes.Buffer }

func (closer) Close() error { return nil }

func (m memory) create(name string) (io.WriteCloser, error) {
	if m[name] != nil {
		return nil, errors.New("created twice")
	}
	m[name] = new(bytes.Buffer)
	return closer{m[name]}, nil
}

func generate(t require.TestingT, o seed.Options) (memory, seed.Summary) {
	m := memory{}
	s, err := seed.Generate(context.Background(), m.create, o)
	require.NoError(t, err)
	return m, s
}

func (m memory) names() []string { return slices.Sorted(maps.Keys(m)) }

func (m memory) hash() string {
	h := sha256.New()
	for _, name := range m.names() {
		h.Write([]byte(name))
		h.Write(m[name].Bytes())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// The hash holds on every platform. It changes only when the generator is meant to make another world.
func TestBytesAreFixed(t *testing.T) {
	t.Parallel()
	got, _ := generate(t, seed.Options{Seed: 42, Members: 40, Anchor: anchor, TruthIDs: true})
	require.Equal(t, "59d5f107c043988e69a78e93751a26665683f3fbb3f9f350882c123a18102493", got.hash())
}

func TestAnythingButTheWorldLeavesTheBytes(t *testing.T) {
	t.Parallel()
	o := demo()
	plain, summary := generate(t, o)

	o.Workers = 1
	alone, _ := generate(t, o)
	require.Equal(t, plain.hash(), alone.hash())

	o.Workers, o.Gzip, o.FileBytes = 3, true, 1<<20
	split, splitSummary := generate(t, o)
	require.Equal(t, summary.Bytes, splitSummary.Bytes)
	require.Greater(t, len(split), len(plain))
	for _, ts := range splitSummary.Types {
		var whole bytes.Buffer
		for _, name := range ts.Files {
			zr, err := gzip.NewReader(split[name])
			require.NoError(t, err)
			zr.Multistream(false)
			_, err = whole.ReadFrom(zr)
			require.NoError(t, err)
		}
		require.True(t, bytes.Equal(plain[ts.Type.String()+".ndjson"].Bytes(), whole.Bytes()), ts.Type)
	}

	o = demo()
	o.Seed++
	other, _ := generate(t, o)
	require.NotEqual(t, plain.hash(), other.hash())
}

func TestASmallerRosterIsThePrefixOfALarger(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		small := seed.Options{Seed: rapid.Uint64().Draw(t, "seed"), Members: rapid.IntRange(1, 25).Draw(t, "members"), Anchor: anchor, Density: 0.1}
		large := small
		large.Members += rapid.IntRange(0, 20).Draw(t, "more")
		a, as := generate(t, small)
		b, bs := generate(t, large)
		require.Equal(t, small.Members, as.Members)
		require.Equal(t, large.Members, bs.Members)
		for name, lines := range a {
			require.NotNil(t, b[name], name)
			require.True(t, bytes.HasPrefix(b[name].Bytes(), lines.Bytes()), name)
		}
	})
}

func TestPrefixHoldsAcrossMarkets(t *testing.T) {
	t.Parallel()
	small := seed.Options{Seed: 3, Members: 1000, Anchor: anchor, Density: 0.05}
	large := small
	large.Members = 1700
	a, _ := generate(t, small)
	b, _ := generate(t, large)
	require.Greater(t, b["Practitioner.ndjson"].Len(), a["Practitioner.ndjson"].Len())
	for name, lines := range a {
		require.True(t, bytes.HasPrefix(b[name].Bytes(), lines.Bytes()), name)
	}
}

func TestDensityScalesTheHistory(t *testing.T) {
	t.Parallel()
	o := seed.Options{Seed: 1, Members: 120, Anchor: anchor, Density: 0.5}
	_, half := generate(t, o)
	o.Density = 2
	_, twice := generate(t, o)
	require.InDelta(t, 4, float64(twice.Resources)/float64(half.Resources), 1.2)
	require.Equal(t, half.Members, twice.Members)
}

func TestSummaryDescribesTheFiles(t *testing.T) {
	t.Parallel()
	m, s := generate(t, demo())
	resources, size := 0, int64(0)
	for _, ts := range s.Types {
		require.Len(t, ts.Files, 1, ts.Type)
		b := m[ts.Files[0]].Bytes()
		require.Equal(t, ts.Count, bytes.Count(b, []byte("\n")), ts.Type)
		require.Equal(t, ts.Bytes, int64(len(b)), ts.Type)
		resources += ts.Count
		size += ts.Bytes
	}
	require.Equal(t, s.Resources, resources)
	require.Equal(t, s.Bytes, size)
	require.Equal(t, seed.DemoMembers, s.Members)
	require.Equal(t, s.Members, bytes.Count(m[seed.TruthFile].Bytes(), []byte("\n")))
}

func TestWriteFillsADirectory(t *testing.T) {
	t.Parallel()
	o := seed.Options{Seed: 42, Members: 10, Anchor: anchor}
	dir := filepath.Join(t.TempDir(), "new", "seed")
	_, err := seed.Write(t.Context(), dir, o)
	require.NoError(t, err)
	want, _ := generate(t, o)
	for name, b := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(b.Bytes(), got), name)
	}
	_, err = seed.Write(t.Context(), dir, o)
	require.ErrorContains(t, err, "not empty")
}

func TestOptionsOutOfBoundsAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*seed.Options){
		"no members":       func(o *seed.Options) { o.Members = 0 },
		"too many members": func(o *seed.Options) { o.Members = seed.MaxMembers + 1 },
		"no anchor":        func(o *seed.Options) { o.Anchor = time.Time{} },
		"ancient anchor":   func(o *seed.Options) { o.Anchor = anchor.AddDate(-60, 0, 0) },
		"negative density": func(o *seed.Options) { o.Density = -1 },
		"huge density":     func(o *seed.Options) { o.Density = 21 },
		"negative split":   func(o *seed.Options) { o.FileBytes = -1 },
		"negative workers": func(o *seed.Options) { o.Workers = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := demo()
			change(&o)
			_, err := seed.Generate(t.Context(), memory{}.create, o)
			require.Error(t, err)
			_, err = seed.WriteRequest(io.Discard, io.Discard, o, seed.RequestOptions{Members: 1})
			require.Error(t, err)
		})
	}
}

func TestGenerateStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	o := seed.Options{Seed: 1, Members: 100_000, Anchor: anchor}
	m := memory{}
	s, err := seed.Generate(ctx, func(name string) (io.WriteCloser, error) {
		cancel() // as soon as the first block is there
		return m.create(name)
	}, o)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, s.Members, 1000)
}

// failing is a file that fails when it is written to or, with closing, when it is closed.
type failing struct{ closing bool }

var errFull = errors.New("disk full")

func (f failing) Write(p []byte) (int, error) {
	if f.closing {
		return len(p), nil
	}
	return 0, errFull
}

func (f failing) Close() error {
	if f.closing {
		return errFull
	}
	return nil
}

func TestGenerateReportsFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		create seed.Create
		gzip   bool
	}{
		"create": {create: func(string) (io.WriteCloser, error) { return nil, errFull }},
		"write":  {create: func(string) (io.WriteCloser, error) { return failing{}, nil }},
		"gzip":   {create: func(string) (io.WriteCloser, error) { return failing{}, nil }, gzip: true},
		"close":  {create: func(string) (io.WriteCloser, error) { return failing{closing: true}, nil }},
		"truth": {create: func(name string) (io.WriteCloser, error) {
			if name == seed.TruthFile {
				return nil, errFull
			}
			return closer{new(bytes.Buffer)}, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := demo()
			o.Gzip = tc.gzip
			_, err := seed.Generate(t.Context(), tc.create, o)
			require.ErrorIs(t, err, errFull)
		})
	}
}

func TestNothingNamesAMemberInItsIds(t *testing.T) {
	t.Parallel()
	m, _ := generate(t, demo())
	for line := range strings.Lines(m["Patient.ndjson"].String()) {
		p := decode(t, []byte(line))
		require.NotContains(t, p.str("id"), p.at("identifier", 0).str("value"))
	}
}

func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		s, err := seed.Generate(b.Context(), func(string) (io.WriteCloser, error) { return closer{new(bytes.Buffer)}, nil }, seed.Options{Seed: 1, Members: 1000, Anchor: anchor})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(s.Bytes)
	}
}

package fhir

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// eachDevLine calls f with every line of the sample data.
func eachDevLine(t *testing.T, f func(t *testing.T, line []byte, where string)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(devData, "*", "*.ndjson"))
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("no sample data")
	}
	for _, name := range files {
		t.Run(filepath.Base(filepath.Dir(name))+"/"+filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			file, err := os.Open(name)
			require.NoError(t, err)
			defer func() { _ = file.Close() }()
			in := NewReader(file, 0)
			for {
				number, line, err := in.Next()
				if line == nil {
					require.EqualError(t, err, "EOF")
					require.NotZero(t, number)
					return
				}
				f(t, line, name)
			}
		})
	}
}

func TestInspectAgreesWithOracle(t *testing.T) {
	t.Parallel()
	eachDevLine(t, func(t *testing.T, line []byte, where string) {
		var f Facts
		require.NoError(t, Inspect(line, &f), where)
		o, err := decodeOracle(line)
		require.NoError(t, err)
		id := where + " " + string(f.ID)
		require.Equal(t, o.text("resourceType"), f.ResourceType(), id)
		require.Equal(t, o.text("id"), string(f.ID), id)
		require.Equal(t, o.text("meta.versionId"), string(f.VersionID), id)
		require.Equal(t, o.patient(), string(f.Patient), id)
		require.False(t, f.BadDate, id)
		updated := o.lastUpdated()
		require.Equal(t, updated != math.MinInt64, f.HasLastUpdated, id)
		if f.HasLastUpdated {
			require.Equal(t, updated, f.LastUpdated, id)
		}
		first, last, dated := o.dates()
		require.Equal(t, dated, f.Dated, id)
		if dated {
			require.Equal(t, DayOf(first), f.First, id)
			require.Equal(t, DayOf(last), f.Last, id)
		}
		require.Equal(t, o.text("use") == "preauthorization", f.PriorAuth, id)
		if f.ResourceType() == "Provenance" {
			require.Equal(t, o.text("target.reference"), string(f.Target), id)
		}
	})
}

func TestStampKeepsTheRest(t *testing.T) {
	t.Parallel()
	eachDevLine(t, func(t *testing.T, line []byte, _ string) {
		requireStamp(t, line, 1_700_000_000_123)
	})
}

// requireStamp checks that a stamp changes meta.lastUpdated of a line that Inspect takes, and nothing else.
func requireStamp(t require.TestingT, line []byte, millis int64) {
	var f Facts
	require.NoError(t, Inspect(line, &f))
	stamped := Stamp(nil, line, &f, millis)
	instant := FormatInstant(millis)
	require.Equal(t, instant, string(stamped[StampAt(&f):][:len(instant)]))

	var again Facts
	require.NoError(t, Inspect(stamped, &again))
	require.True(t, again.HasLastUpdated)
	require.Equal(t, millis, again.LastUpdated)

	// Taking the stamp out again with the decoder must leave what was there.
	want, err := decodeOracle(line)
	require.NoError(t, err)
	got, err := decodeOracle(stamped)
	require.NoError(t, err)
	meta, _ := got["meta"].(map[string]any)
	require.Equal(t, FormatInstant(millis), meta["lastUpdated"])
	delete(meta, "lastUpdated")
	if had, ok := want["meta"].(map[string]any); ok {
		delete(had, "lastUpdated")
	} else {
		require.Empty(t, meta)
		delete(got, "meta")
	}
	require.Equal(t, want, got)

	// Stamping is idempotent, and again appends to what it is given.
	require.Equal(t, "x"+string(stamped), string(Stamp([]byte("x"), stamped, &again, millis)))
}

func TestCardsAndDemographicsOfSampleData(t *testing.T) {
	t.Parallel()
	eachDevLine(t, func(t *testing.T, line []byte, where string) {
		switch ResourceTypeOf(line) {
		case "Patient":
			d, err := ParsePatient(line)
			require.NoError(t, err, where)
			require.NotEmpty(t, d.ID)
			require.Equal(t, d.BirthDate != "", d.Born != nil, d.ID)
		case "Coverage", "ExplanationOfBenefit":
			cards, err := ParseCards(line)
			require.NoError(t, err, where)
			for _, c := range cards {
				require.NotEmpty(t, c.Status, where)
			}
		case "Group":
			requireRoundTrip(t, line, ParseGroup)
		case "Consent":
			_, err := ParseConsent(line)
			require.NoError(t, err, where)
		case "Bundle":
			_, err := ParseBundle(line)
			require.NoError(t, err, where)
		case "Parameters":
			requireRoundTrip(t, line, ParseParameters)
		case "OperationOutcome":
			_, err := ParseOutcome(line)
			require.NoError(t, err, where)
		}
	})
}

// requireRoundTrip checks that what a parser kept comes out the same when it is written and read again.
func requireRoundTrip[T any](t *testing.T, line []byte, parse func([]byte) (T, error)) {
	t.Helper()
	once, err := parse(line)
	require.NoError(t, err)
	written, err := json.Marshal(once)
	require.NoError(t, err)
	twice, err := parse(written)
	require.NoError(t, err)
	again, err := json.Marshal(twice)
	require.NoError(t, err)
	require.JSONEq(t, string(written), string(again))
}

package manifest_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/models/manifest"
)

const base = "https://payer.example/fhir"

func TestBuild(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 5e6, time.FixedZone("", 3600))
	job := &models.Job{ID: "j", RequestURL: base + "/Group/g/$davinci-data-export?_type=Patient", TransactionTime: &at}
	files := []models.JobFile{
		{JobID: "j", File: 0, Kind: "output", Type: "Patient", Lines: 2, CRC: -2, GzipSHA256: []byte{1}},
		{JobID: "j", File: 1, Kind: "deleted", Type: "Bundle", Lines: 1, Format: models.FormatGzip, GzipSHA256: []byte{2}, IdentitySHA256: []byte{3}},
		{JobID: "j", File: 2, Kind: "output", Type: "Patient", Lines: 1, CRC: 1, Format: models.FormatParquet, IdentitySHA256: []byte{4}},
		{JobID: "j", File: 3, Kind: "error", Type: "OperationOutcome", Lines: 1, Format: models.FormatParquet},
	}
	got, err := json.Marshal(manifest.Build(job, files, base))
	require.NoError(t, err)
	require.JSONEq(t, `{
		"transactionTime": "2026-11-23T11:00:00.005Z",
		"request": "https://payer.example/fhir/Group/g/$davinci-data-export?_type=Patient",
		"requiresAccessToken": true,
		"output": [
			{"type": "Patient", "url": "https://payer.example/fhir/bulk-files/j/0.Patient.ndjson", "count": 2, "extension": {"checksum": [
				{"algorithm": "crc32", "coding": "identity", "value": "/////g=="},
				{"algorithm": "sha-256", "coding": "gzip", "value": "AQ=="}]}},
			{"type": "Patient", "url": "https://payer.example/fhir/bulk-files/j/2.Patient.parquet", "count": 1, "extension": {"checksum": [
				{"algorithm": "sha-256", "coding": "identity", "value": "BA=="}]}}],
		"deleted": [{"type": "Bundle", "url": "https://payer.example/fhir/bulk-files/j/1.Bundle.ndjson", "count": 1, "extension": {"checksum": [
				{"algorithm": "crc32", "coding": "identity", "value": "AAAAAA=="},
				{"algorithm": "sha-256", "coding": "identity", "value": "Aw=="},
				{"algorithm": "sha-256", "coding": "gzip", "value": "Ag=="}]}}],
		"error": [{"type": "OperationOutcome", "url": "https://payer.example/fhir/bulk-files/j/3.OperationOutcome.parquet", "count": 1}]
	}`, string(got))
}

// Files that are organized by a type are of no type themselves (Bulk Data Access 3.0.0).
func TestBuildOrganized(t *testing.T) {
	t.Parallel()
	job := &models.Job{ID: "j", Operation: models.OpPatientExport, Params: []byte(`{"organizeBy":"Patient"}`)}
	got, err := json.Marshal(manifest.Build(job, []models.JobFile{
		{JobID: "j", File: 0, Kind: "output", Type: "Patient", Lines: 3, CRC: 1},
		{JobID: "j", File: 1, Kind: "error", Type: "OperationOutcome", Lines: 1, CRC: 1},
	}, base))
	require.NoError(t, err)
	require.JSONEq(t, `{"transactionTime": "", "request": "", "requiresAccessToken": true, "outputOrganizedBy": "Patient",
		"output": [{"url": "https://payer.example/fhir/bulk-files/j/0.Patient.ndjson", "count": 3,
			"extension": {"checksum": [{"algorithm": "crc32", "coding": "identity", "value": "AAAAAQ=="}]}}],
		"deleted": [],
		"error": [{"type": "OperationOutcome", "url": "https://payer.example/fhir/bulk-files/j/1.OperationOutcome.ndjson", "count": 1,
			"extension": {"checksum": [{"algorithm": "crc32", "coding": "identity", "value": "AAAAAQ=="}]}}]}`, string(got))
}

func TestBuildOpen(t *testing.T) {
	t.Parallel()
	files := []models.JobFile{{Kind: "output", Type: "Patient"}, {Kind: "error", Type: "OperationOutcome"}}
	m := manifest.BuildOpen(&models.Job{}, files, []string{"https://bucket/a", "https://bucket/b"})
	require.False(t, m.RequiresAccessToken)
	require.Equal(t, "https://bucket/a", m.Output[0].URL)
	require.Equal(t, "https://bucket/b", m.Error[0].URL)
}

// Clients look for all keys, the lists too when they are empty.
func TestBuildOfNothing(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(manifest.Build(&models.Job{TransactionTime: new(time.Unix(0, 0))}, nil, base))
	require.NoError(t, err)
	require.JSONEq(t, `{"transactionTime": "1970-01-01T00:00:00.000Z", "request": "", "requiresAccessToken": true, "output": [], "deleted": [], "error": []}`, string(got))
}

// Pages hold every file once and in order, all but the last are full, and no other page is there.
func TestPage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		files := make([]models.JobFile, rapid.IntRange(0, 40).Draw(t, "files"))
		for i := range files {
			files[i].File = i
		}
		size := rapid.IntRange(1, 12).Draw(t, "size")
		got := []models.JobFile{}
		for n := 1; ; n++ {
			page, more, ok := manifest.Page(files, n, size)
			require.True(t, ok)
			require.True(t, len(page) == size || !more && len(page) <= size && (n == 1 || len(page) > 0))
			if got = append(got, page...); !more {
				_, _, ok = manifest.Page(files, n+1, size)
				require.False(t, ok)
				break
			}
		}
		require.Equal(t, files, got)
		for _, n := range []int{0, -1, math.MaxInt} {
			_, _, ok := manifest.Page(files, n, size)
			require.False(t, ok)
		}
	})
}

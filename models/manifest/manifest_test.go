package manifest_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/manifest"
)

const base = "https://payer.example/fhir"

func TestBuild(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 5e6, time.FixedZone("", 3600))
	job := &models.Job{ID: "j", RequestURL: base + "/Group/g/$davinci-data-export?_type=Patient", TransactionTime: &at}
	files := []models.JobFile{
		{JobID: "j", File: 0, Kind: "output", Type: "Patient", Lines: 2},
		{JobID: "j", File: 1, Kind: "deleted", Type: "Bundle", Lines: 1},
		{JobID: "j", File: 2, Kind: "output", Type: "Patient", Lines: 1},
		{JobID: "j", File: 3, Kind: "error", Type: "OperationOutcome", Lines: 1},
	}
	got, err := json.Marshal(manifest.Build(job, files, base))
	require.NoError(t, err)
	require.JSONEq(t, `{
		"transactionTime": "2026-11-23T11:00:00.005Z",
		"request": "https://payer.example/fhir/Group/g/$davinci-data-export?_type=Patient",
		"requiresAccessToken": true,
		"output": [
			{"type": "Patient", "url": "https://payer.example/fhir/bulk-files/j/0.Patient.ndjson", "count": 2},
			{"type": "Patient", "url": "https://payer.example/fhir/bulk-files/j/2.Patient.ndjson", "count": 1}],
		"deleted": [{"type": "Bundle", "url": "https://payer.example/fhir/bulk-files/j/1.Bundle.ndjson", "count": 1}],
		"error": [{"type": "OperationOutcome", "url": "https://payer.example/fhir/bulk-files/j/3.OperationOutcome.ndjson", "count": 1}]
	}`, string(got))
}

// Clients look for all keys, the lists too when they are empty.
func TestBuildOfNothing(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(manifest.Build(&models.Job{TransactionTime: new(time.Unix(0, 0))}, nil, base))
	require.NoError(t, err)
	require.JSONEq(t, `{"transactionTime": "1970-01-01T00:00:00.000Z", "request": "", "requiresAccessToken": true, "output": [], "deleted": [], "error": []}`, string(got))
}

// Package manifest builds the completion manifest of an asynchronous job (Bulk Data Access 2.0.0, "Response - Complete
// Status"). It is pure: rows in, document out.
package manifest

import (
	"fmt"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Manifest is the document. Its five required keys are always there, empty lists included; PDex match results and exports
// share it.
type Manifest struct {
	TransactionTime     string `json:"transactionTime"` // an instant
	Request             string `json:"request"`
	RequiresAccessToken bool   `json:"requiresAccessToken"`
	Output              []File `json:"output"`
	Deleted             []File `json:"deleted"`
	Error               []File `json:"error"`
}

// File is one file of the manifest.
type File struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int64  `json:"count"`
}

// FileURL returns the address of a job's file under the FHIR base.
func FileURL(base string, f models.JobFile) string {
	extension := "ndjson"
	if f.Format == models.FormatParquet {
		extension = "parquet"
	}
	return fmt.Sprintf("%s/bulk-files/%s/%d.%s.%s", base, f.JobID, f.File, f.Type, extension)
}

// Build makes the manifest of a completed job. base is the absolute FHIR base URL without a trailing slash.
func Build(job *models.Job, files []models.JobFile, base string) Manifest {
	m := Manifest{
		Request:             job.RequestURL,
		RequiresAccessToken: true,
		Output:              []File{},
		Deleted:             []File{},
		Error:               []File{},
	}
	if job.TransactionTime != nil {
		m.TransactionTime = fhir.FormatInstant(job.TransactionTime.UnixMilli())
	}
	for _, f := range files {
		item := File{Type: f.Type, URL: FileURL(base, f), Count: f.Lines}
		switch f.Kind {
		case "output":
			m.Output = append(m.Output, item)
		case "deleted":
			m.Deleted = append(m.Deleted, item)
		case "error":
			m.Error = append(m.Error, item)
		}
	}
	return m
}

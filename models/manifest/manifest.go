// Package manifest builds the completion manifest of an asynchronous job (Bulk Data Access 2.0.0, "Response - Complete
// Status"). It is pure: rows in, document out.
package manifest

import (
	"encoding/binary"
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
	// OutputOrganizedBy is the resource type whose instances head the blocks of output files, "" when files are of one type each
	// (Bulk Data Access 3.0.0).
	OutputOrganizedBy string `json:"outputOrganizedBy,omitempty"`
	Output            []File `json:"output"`
	Deleted           []File `json:"deleted"`
	Error             []File `json:"error"`
	// Link leads to the manifest of the files that follow (Bulk Data Access 3.0.0, "link").
	Link []Link `json:"link,omitempty"`
}

// Link is where something else about the job is.
type Link struct {
	Relation string `json:"relation"` // next
	URL      string `json:"url"`
}

// Page returns those of a job's files that page n of its manifest names, of at most size files, and whether there are more. Pages count from
// 1. ok is false when there is no such page; there always is a first.
func Page(files []models.JobFile, n, size int) (page []models.JobFile, more, ok bool) {
	if n < 1 || n > 1 && (n-1) >= (len(files)+size-1)/size {
		return nil, false, false
	}
	from := (n - 1) * size
	upTo := min(from+size, len(files))
	return files[from:upTo], upTo < len(files), true
}

// File is one file of the manifest.
type File struct {
	Type      string     `json:"type,omitempty"` // "" for output that is organized by a resource type
	URL       string     `json:"url"`
	Count     int64      `json:"count"`
	Extension *Extension `json:"extension,omitempty"`
}

// Extension is what this server says of a file beyond the specification.
type Extension struct {
	Checksum []Checksum `json:"checksum"`
}

// Checksum lets a client see that it got a file whole.
type Checksum struct {
	Algorithm string `json:"algorithm"` // crc32 (IEEE, as in gzip) or sha-256
	// Coding is the content coding of the bytes it is of: identity (what is left when Content-Encoding is undone) or gzip (what
	// was sent under Content-Encoding: gzip).
	Coding string `json:"coding"`
	Value  []byte `json:"value"` // base64 of the checksum, most significant byte first
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
	m := build(job, files, func(i int) string { return FileURL(base, files[i]) })
	m.RequiresAccessToken = true
	return m
}

// BuildOpen makes the manifest of a completed job whose files are at the given URLs, one a file, which need no token.
func BuildOpen(job *models.Job, files []models.JobFile, urls []string) Manifest {
	return build(job, files, func(i int) string { return urls[i] })
}

func build(job *models.Job, files []models.JobFile, url func(i int) string) Manifest {
	m := Manifest{
		Request:           job.RequestURL,
		OutputOrganizedBy: job.OrganizedBy(),
		Output:            []File{},
		Deleted:           []File{},
		Error:             []File{},
	}
	if job.TransactionTime != nil {
		m.TransactionTime = fhir.FormatInstant(job.TransactionTime.UnixMilli())
	}
	for i, f := range files {
		item := File{Type: f.Type, URL: url(i), Count: f.Lines}
		if sums := Checksums(f); len(sums) > 0 {
			item.Extension = &Extension{Checksum: sums}
		}
		switch f.Kind {
		case "output":
			if m.OutputOrganizedBy != "" {
				item.Type = ""
			}
			m.Output = append(m.Output, item)
		case "deleted":
			m.Deleted = append(m.Deleted, item)
		case "error":
			m.Error = append(m.Error, item)
		}
	}
	return m
}

// Checksums are those that are known. The CRC of NDJSON always is; it was taken when the lines were imported, so it covers their
// storage too.
func Checksums(f models.JobFile) []Checksum {
	var sums []Checksum
	if f.Format == models.FormatDeflate || f.Format == models.FormatGzip {
		sums = append(sums, Checksum{Algorithm: "crc32", Coding: "identity", Value: binary.BigEndian.AppendUint32(nil, uint32(f.CRC))})
	}
	if f.IdentitySHA256 != nil {
		sums = append(sums, Checksum{Algorithm: "sha-256", Coding: "identity", Value: f.IdentitySHA256})
	}
	if f.GzipSHA256 != nil {
		sums = append(sums, Checksum{Algorithm: "sha-256", Coding: "gzip", Value: f.GzipSHA256})
	}
	return sums
}

package models

import "time"

// ListKind says what a load brings.
type ListKind string

// The kinds of loads.
const (
	ListOptOuts       ListKind = "opt-outs"
	ListRelationships ListKind = "relationships"
	ListProviders     ListKind = "providers" // the NPPES file: who there is, and with which taxonomies
	ListNetwork       ListKind = "network"   // who is under contract, and for whom they work
)

// ListImport is a load of many opt-outs, relationships or directory entries, from a file of one row a line.
type ListImport struct {
	ID         string     `json:"id" bun:",pk,type:uuid"`
	Kind       ListKind   `json:"kind" bun:",notnull"`
	Source     string     `json:"source,omitempty" bun:",notnull"` // a location; "" for an upload
	BlobKey    string     `json:"-" bun:",notnull"`
	Format     string     `json:"format" bun:",notnull"` // ListCSV or ListNDJSON
	DryRun     bool       `json:"dryRun" bun:",notnull"` // check and count, change nothing
	State      State      `json:"state" bun:",notnull"`
	CreatedBy  string     `json:"createdBy" bun:",notnull"`
	CreatedAt  time.Time  `json:"createdAt" bun:",notnull"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
	Error      string     `json:"error,omitempty" bun:",notnull"`
	// Line is the last line that is dealt with. Lines after the header are Added, Changed, Unchanged or Rejected.
	Line int64 `json:"line" bun:",notnull"`
	ListCounts
}

// ListCounts says what became of the rows of a load.
type ListCounts struct {
	Added     int64 `json:"added" bun:",notnull"`
	Changed   int64 `json:"changed" bun:",notnull"`
	Unchanged int64 `json:"unchanged" bun:",notnull"`
	Rejected  int64 `json:"rejected" bun:",notnull"`
}

// The formats of a load.
const (
	ListCSV    = "csv"    // with a header line
	ListNDJSON = "ndjson" // one object a line
)

// ListReject is a row that a load could not take.
type ListReject struct {
	Line   int64  `json:"line"`
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"` // never what was sent
}

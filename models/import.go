package models

import (
	"maps"
	"time"
)

// ImportMode says where meta.lastUpdated comes from.
type ImportMode string

// The import modes.
const (
	// ImportLive stamps every resource with the moment the import took effect, so that a later delta cannot miss it.
	ImportLive ImportMode = "live"
	// ImportBackfill keeps the source's meta.lastUpdated.
	ImportBackfill ImportMode = "backfill"
)

// Import is one load of files into the store.
type Import struct {
	ID          string      `bun:",pk,type:uuid" json:"id"`
	Source      string      `bun:",notnull" json:"source"`
	Buckets     int         `bun:",notnull" json:"-"` // how many ranges of members are merged on their own
	Mode        ImportMode  `bun:",notnull" json:"mode"`
	State       State       `bun:",notnull" json:"state"`
	CreatedBy   string      `bun:",notnull" json:"createdBy"`
	CreatedAt   time.Time   `bun:",notnull" json:"createdAt"`
	EffectiveAt *time.Time  `json:"effectiveAt,omitempty"`
	FinishedAt  *time.Time  `json:"finishedAt,omitempty"`
	Error       string      `bun:",notnull" json:"error,omitempty"`
	Stats       ImportStats `bun:"type:jsonb,notnull" json:"stats"`
}

// ImportStats counts what became of the lines of an import:
//
//	Lines = Blank + Rejected + Deletes + Duplicate + sum over Types of (New + Replaced + Unchanged + Stale)
type ImportStats struct {
	Files     int64                 `json:"files"`
	Ignored   int64                 `json:"ignoredFiles,omitempty"` // files of no format that is read
	Bytes     int64                 `json:"bytes"`
	Lines     int64                 `json:"lines"`
	Blank     int64                 `json:"blank"`
	Rejected  int64                 `json:"rejected"`
	Deletes   int64                 `json:"deletes"`   // delete entries read
	Deleted   int64                 `json:"deleted"`   // resources they removed
	Moved     int64                 `json:"moved"`     // resources that left another member
	Duplicate int64                 `json:"duplicate"` // older versions within the import
	Members   int64                 `json:"members"`   // members touched
	Segments  int64                 `json:"segments"`  // segments written
	Types     map[string]TypeCounts `json:"types,omitempty"`
}

// TypeCounts is what an import did to one resource type.
type TypeCounts struct {
	New       int64 `json:"new,omitempty"`
	Replaced  int64 `json:"replaced,omitempty"`
	Unchanged int64 `json:"unchanged,omitempty"`
	Stale     int64 `json:"stale,omitempty"` // older than what is held
	// Of New, those that no patient could be found for.
	Unattributed int64 `json:"unattributed,omitempty"`
}

// Add returns the sum of two counts.
func (s ImportStats) Add(o ImportStats) ImportStats {
	s.Files += o.Files
	s.Ignored += o.Ignored
	s.Bytes += o.Bytes
	s.Lines += o.Lines
	s.Blank += o.Blank
	s.Rejected += o.Rejected
	s.Deletes += o.Deletes
	s.Deleted += o.Deleted
	s.Moved += o.Moved
	s.Duplicate += o.Duplicate
	s.Members += o.Members
	s.Segments += o.Segments
	types := maps.Clone(s.Types)
	for name, c := range o.Types {
		if types == nil {
			types = make(map[string]TypeCounts)
		}
		t := types[name]
		t.New += c.New
		t.Replaced += c.Replaced
		t.Unchanged += c.Unchanged
		t.Stale += c.Stale
		t.Unattributed += c.Unattributed
		types[name] = t
	}
	s.Types = types
	return s
}

// ImportReject is a line that could not be taken. Reason is a fixed code; content is never kept.
type ImportReject struct {
	ImportID string `bun:",pk,type:uuid" json:"-"`
	File     string `bun:"-" json:"file"`
	FileNo   int    `bun:"file,pk" json:"fileNo"`
	Line     int64  `bun:",pk" json:"line"`
	Reason   string `bun:",notnull" json:"reason"`
}

// ImportFile is one file of an import's source. File is its ordinal in name order.
type ImportFile struct {
	ImportID string      `bun:",pk,type:uuid" json:"-"`
	File     int         `bun:",pk" json:"file"`
	Name     string      `bun:",notnull" json:"name"`
	Bytes    int64       `bun:",notnull" json:"bytes"`
	Scanned  bool        `bun:",notnull" json:"scanned"`
	Stats    ImportStats `bun:"type:jsonb,notnull" json:"stats"`
}

// ImportRun is a spilled, sorted run of an import's lines. Directory is the byte offset of each bucket in the blob.
type ImportRun struct {
	ImportID  string `bun:",pk,type:uuid"`
	File      int    `bun:",pk"`
	Run       int    `bun:",pk"`
	BlobKey   string `bun:",notnull"`
	Directory []byte `bun:",notnull"`
}

// ImportDelete is a resource that an import says is gone.
type ImportDelete struct {
	ImportID   string `bun:",pk,type:uuid"`
	Type       int16  `bun:",pk"`
	ResourceID string `bun:",pk"`
}

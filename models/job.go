package models

import (
	"encoding/json"
	"time"
)

// Operation names what a job does.
type Operation string

// The operations.
const (
	OpBulkMemberMatch     Operation = "bulk-member-match"
	OpProviderMemberMatch Operation = "provider-member-match"
	OpDataExport          Operation = "davinci-data-export"
	OpSystemExport        Operation = "export"
	OpPatientExport       Operation = "patient-export"
	OpGroupExport         Operation = "group-export"

	// These are done at once and make no job; tokens name them.
	OpMemberAdd    Operation = "member-add"
	OpMemberRemove Operation = "member-remove"
)

// IsMatch reports whether a job of the operation looks for members and makes Groups, rather than exports data.
func (o Operation) IsMatch() bool { return o == OpBulkMemberMatch || o == OpProviderMemberMatch }

// State is where a job or an import stands. A job only moves forward: accepted, running, then one of the others. An administrator
// may have a failed export run again.
type State string

// The states.
const (
	StateAccepted  State = "accepted"
	StateRunning   State = "running"
	StateCompleted State = "completed"
	StateFailed    State = "failed"
	StateCancelled State = "cancelled"
)

// Done reports whether nothing will change the job any more.
func (s State) Done() bool { return s == StateCompleted || s == StateFailed || s == StateCancelled }

// Job is one asynchronous request: a match or an export. Its id is the workflow id and part of its status URL.
type Job struct {
	ID              string          `bun:",pk,type:uuid"`
	ClientID        string          `bun:",notnull"`
	Operation       Operation       `bun:",notnull"`
	RequestURL      string          `bun:"request_url,notnull"`
	RequestDigest   []byte          `bun:",notnull"`
	IdempotencyKey  string          `bun:",notnull"`
	State           State           `bun:",notnull"`
	Stage           string          `bun:",notnull"`
	Params          json.RawMessage `bun:"type:jsonb,notnull"` // ExportParams or MatchParams
	CreatedAt       time.Time       `bun:",notnull"`
	TransactionTime *time.Time
	FinishedAt      *time.Time
	ExpiresAt       *time.Time
	DeletedAt       *time.Time
	Error           string     `bun:",notnull"` // for the client: no detail that tells of a member
	Accounting      Accounting `bun:"type:jsonb,notnull"`
	PausedAt        *time.Time // since when an administrator holds its run back
	Retries         int        `bun:",notnull"` // how often an administrator had it go on after it failed
	ReissueOf       *string    `bun:"type:uuid"`
}

// KeepFailed is how long what a failed export has written is kept at most, for an administrator to have it go on. Nobody can download
// it.
const KeepFailed = 24 * time.Hour

// Accounting is the balance of an export. It is checked before a job completes:
//
//	Members   = Exported + Empty + Withheld + Errored
//	Planned   = Written + Filtered + WithheldResources + ErroredResources
//
// Matched, Unmatched and Constrained are a match's: Members = Matched + Unmatched + Constrained.
type Accounting struct {
	Members  int64 `json:"members,omitempty"`
	Exported int64 `json:"exported,omitempty"` // members with at least one line written
	Empty    int64 `json:"empty,omitempty"`    // members with nothing to write
	Withheld int64 `json:"withheld,omitempty"` // members a rule kept back
	Errored  int64 `json:"errored,omitempty"`

	Planned           int64 `json:"planned,omitempty"`
	Written           int64 `json:"written,omitempty"`
	Filtered          int64 `json:"filtered,omitempty"` // left out because the request asked so
	WithheldResources int64 `json:"withheldResources,omitempty"`
	ErroredResources  int64 `json:"erroredResources,omitempty"`
	// Of WithheldResources, those that were too old.
	TooOld int64 `json:"tooOld,omitempty"`

	Matched     int64 `json:"matched,omitempty"`
	Unmatched   int64 `json:"unmatched,omitempty"`
	Constrained int64 `json:"constrained,omitempty"`
}

// Add returns the sum of two balances.
func (a Accounting) Add(b Accounting) Accounting {
	a.Members += b.Members
	a.Exported += b.Exported
	a.Empty += b.Empty
	a.Withheld += b.Withheld
	a.Errored += b.Errored
	a.Planned += b.Planned
	a.Written += b.Written
	a.Filtered += b.Filtered
	a.WithheldResources += b.WithheldResources
	a.ErroredResources += b.ErroredResources
	a.TooOld += b.TooOld
	a.Matched += b.Matched
	a.Unmatched += b.Unmatched
	a.Constrained += b.Constrained
	return a
}

// Check says which identity does not hold, "" when the balance is right.
func (a Accounting) Check() string {
	switch {
	case a.Members != a.Exported+a.Empty+a.Withheld+a.Errored+a.Matched+a.Unmatched+a.Constrained:
		return "members do not add up"
	case a.Planned != a.Written+a.Filtered+a.WithheldResources+a.ErroredResources:
		return "resources do not add up"
	}
	return ""
}

// ExportParams is what an export was asked for, checked and resolved at kick-off.
type ExportParams struct {
	GroupID string     `json:"groupId,omitempty"` // "" at system and Patient level
	Types   []int16    `json:"types,omitempty"`   // fhir type codes; empty means all
	Since   *time.Time `json:"since,omitempty"`   // meta.lastUpdated after
	Until   *time.Time `json:"until,omitempty"`   // meta.lastUpdated before
	// ServiceFrom leaves out what was finished before that day (days since 1970-01-01).
	ServiceFrom *int32 `json:"serviceFrom,omitempty"`
	ExportType  string `json:"exportType,omitempty"`
	// Listed says that the Group is an attribution list, whose members are those of when the export began, WithList that the Group
	// itself is exported. Types does not have Group then.
	Listed   bool `json:"listed,omitempty"`
	WithList bool `json:"withList,omitempty"`
	// Unclinical says that no type is asked for but those that tell who is on the list, which may leave while it is a draft.
	Unclinical bool `json:"unclinical,omitempty"`
	// Patients limits the export to these Patient ids; empty means all.
	Patients []string `json:"patients,omitempty"`
	// TypeFilter and Elements are the parameters as they were given; they were understood at kick-off.
	TypeFilter []string `json:"typeFilter,omitempty"`
	Elements   []string `json:"elements,omitempty"`
	// Base is the FHIR base URL, with which TypeFilter may write references and under which attachments are served.
	Base string `json:"base,omitempty"`
	// LatestProvenance leaves only the newest Provenance of each target.
	LatestProvenance bool `json:"latestProvenance,omitempty"`
	// Format is how the files are kept, as in JobFile: FormatGzip and "" for NDJSON, else the media type that was asked for.
	Format string `json:"format,omitempty"`
	// OrganizeBy is "Patient" for files in which each patient's resources stand together, under a header, and "" for files of one
	// resource type each.
	OrganizeBy string `json:"organizeBy,omitempty"`
	// Pages lets the manifest of the job come in pages.
	Pages bool `json:"pages,omitempty"`
	// Ignored names the parameters that a client which prefers leniency gave in vain. Its manifest says so.
	Ignored []string `json:"ignored,omitempty"`
}

// InPages reports whether the manifest of a job that has been read from the store may come in pages.
func (j *Job) InPages() bool {
	var p ExportParams
	return !j.Operation.IsMatch() && json.Unmarshal(j.Params, &p) == nil && p.Pages
}

// OrganizedBy is ExportParams.OrganizeBy of an export that has been read from the store, and "" of any other job.
func (j *Job) OrganizedBy() string {
	var p ExportParams
	if j.Operation.IsMatch() || json.Unmarshal(j.Params, &p) != nil {
		return ""
	}
	return p.OrganizeBy
}

// AttachmentURL returns where a Binary that lines of a job's files refer to is served. base is the absolute FHIR base URL
// without a trailing slash.
func AttachmentURL(base, jobID, binary string) string {
	return base + "/bulk-files/" + jobID + "/Binary/" + binary
}

// MaxMemberBundle is how many bytes a MemberBundle of a match request can have at most, as it is stored. The api may let in less.
const MaxMemberBundle = 16 << 20

// MatchParams is what a match was asked for.
type MatchParams struct {
	Members int    `json:"members"`
	BlobKey string `json:"blobKey"` // one MemberBundle a line
	GroupID string `json:"groupId"` // the id the matched Group will have
	// Organizations identify the requester ("system|value"), for consent recipients and the Group's characteristic.
	Organizations []string `json:"organizations"`
	RequesterName string   `json:"requesterName"`
	// NPI is that of the provider a provider's token is for, "" when it names none; Purposes are the token's purposes of use.
	NPI      string   `json:"npi,omitempty"`
	Purposes []string `json:"purposes,omitempty"`
	// Spec is Spec21 when the client wants the answer in PDex 2.1's form, else "".
	Spec string `json:"spec,omitempty"`
	// Foreign are, in ascending order, the indexes of MemberBundles whose Consent is about another Patient of the same request.
	Foreign []int32 `json:"foreign,omitempty"`
}

// Spec21 is the version of PDex in which a match answers with a Parameters resource instead of a manifest.
const Spec21 = "2.1"

// NPIs returns the NPIs of who asks: the provider's and the organisation's.
func (p MatchParams) NPIs() []string {
	npis := NPIs(p.Organizations)
	if p.NPI != "" {
		npis = append(npis, p.NPI)
	}
	return npis
}

// JobFile is one file of a finished job: the parts of one type in a run of chunks, or one blob of packed lines.
type JobFile struct {
	JobID      string `bun:",pk,type:uuid"`
	File       int    `bun:",pk"`
	Kind       string `bun:",notnull"` // output, deleted, error
	Type       string `bun:",notnull"`
	BlobKey    string `bun:",notnull"`
	FirstChunk int    `bun:",notnull"`
	LastChunk  int    `bun:",notnull"`
	Lines      int64  `bun:",notnull"`
	RawLen     int64  `bun:",notnull"`
	PackedLen  int64  `bun:",notnull"`
	CRC        int32  `bun:"crc,notnull"`
	// Format says how the file is kept: FormatDeflate or FormatGzip, or else a whole object of this media type of PackedLen
	// bytes.
	Format string `bun:",notnull"`
	// GzipSHA256 and IdentitySHA256 are the SHA-256 of the whole file as it is served with and without Content-Encoding: gzip,
	// nil where nobody has computed it yet.
	GzipSHA256     []byte `bun:"gzip_sha256"`
	IdentitySHA256 []byte `bun:"identity_sha256"`
}

// FormatDeflate is the format of files kept as packed lines without a frame, out of which NDJSON is served.
const FormatDeflate = ""

// FormatGzip is the format of NDJSON files kept as an object that is a whole gzip file: a header, PackedLen bytes of packed lines
// and a trailer (see models/segment). The server chooses it, never a client.
const FormatGzip = "application/gzip"

// FormatParquet is the media type of Parquet files.
const FormatParquet = "application/vnd.apache.parquet"

// FilePart is a stretch of a blob that holds packed lines.
type FilePart struct {
	BlobKey string
	Offset  int64
	Packed  int64
	Raw     int64
	Lines   int64
	CRC     uint32
}

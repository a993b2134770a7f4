// Package activities holds the side effects of the workflows: importing, matching, exporting, publishing and purging.
//
// Every activity is idempotent. What an attempt writes is under a token of its own and counts only once a single
// conditional change in the database says so; an attempt that lost its worker, or was given up too early, can do no harm.
// Inputs and results are row ids and counts: nothing that tells of a person passes through Temporal.
package activities

import (
	"log/slog"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/store"
)

// Activities carries what the activities need. Register it with a worker; workflows name its methods through a nil value.
type Activities struct {
	Store *store.Store
	Files blob.Store
	Log   *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// ImportRoots are the folders and buckets imports may read.
	ImportRoots []string
	// Holder identifies the payer this server speaks for.
	Holder Holder
	// Retention is how long files live after a job is done.
	Retention time.Duration
	// GroupLife is how long the Groups of matches live.
	GroupLife GroupLife

	// ClaimsMonths is how many months back a service still shows that its provider treats the member.
	ClaimsMonths int

	// Codes are those by which an import takes a resource for sensitive, beside its labels; nil means none.
	Codes *release.Codes
	// Release are the settings of what may leave.
	Release ReleaseRules

	batch   int  // bytes; 0 means batchBytes
	unruled bool // import as if nothing had to be held back: what the rules cost is measured against it
}

// ReleaseRules are the settings of what may leave.
type ReleaseRules struct {
	// PayerYears is how many calendar years back another payer gets data, by date of service; 0 means all.
	PayerYears int
	// ProviderFrom is the first day of service that providers get; nil means all.
	ProviderFrom *fhir.Day
	// DrugAuths hands prior authorisations for drugs over, too.
	DrugAuths bool
}

// Holder is the payer whose data this is.
type Holder struct {
	Name string
	// IDs are its organisation identifiers, "system|value", the preferred one first.
	IDs []string
	// SensitiveData says how sensitive data is held: "tagged", "excluded" or "untagged".
	SensitiveData string
}

// GroupLife says how long Groups live, by whom they are for; 0 for as long as consents last.
type GroupLife struct {
	Payer    time.Duration
	Provider time.Duration
}

func (a *Activities) now() time.Time {
	if a.Now == nil {
		return time.Now()
	}
	return a.Now()
}

// attemptKey names the blob an attempt writes: nothing another attempt writes has the same name.
func attemptKey(prefix string) string { return prefix + "." + models.NewID() }

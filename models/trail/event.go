// Package trail says what the audit log holds: events, how they are chained so that tampering shows, and their form as FHIR
// AuditEvents. It neither reads nor writes the log.
//
// An event says who did what, when, to which rows, and how it ended. It holds ids and counts and nothing else of a person.
package trail

import (
	"context"
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
)

// ActorKind says how an actor is known.
type ActorKind string

// The kinds of actors.
const (
	ActorAnonymous ActorKind = "anonymous" // nobody was proven
	ActorClient    ActorKind = "client"    // by an access token, a client assertion or what a registration is made with; the id is the client's
	ActorAdmin     ActorKind = "admin"     // by an admin credential, whose id it is
	ActorSystem    ActorKind = "system"    // this server: a run of a job
)

// Outcome says how it ended.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Refused Outcome = "refused" // answered with a status of 400 to 499
	Failed  Outcome = "failed"  // our fault, or a job that failed
	Begun   Outcome = "begun"   // is about to be tried; what came of it follows
)

// Event is one record of the audit log.
type Event struct {
	ID      string      `json:"id"` // UUIDv7
	At      time.Time   `json:"at"` // to the microsecond
	Kind    ActorKind   `json:"actor_kind"`
	Actor   string      `json:"actor"`
	Client  string      `json:"client"` // whose data, job or token it is about; a claim when Kind is anonymous
	Action  string      `json:"action"` // operation id of the API's description, or what a run did
	Outcome Outcome     `json:"outcome"`
	Status  int         `json:"status"`           // of HTTP; 0 when there was no request
	Job     string      `json:"job,omitempty"`    // row id
	Group   string      `json:"grp,omitempty"`    // row id
	Target  string      `json:"target"`           // id of something else: a client, an import, a credential, a file's number
	Members []uuid.UUID `json:"members"`          // row ids
	Counts  Counts      `json:"counts,omitempty"` // how much of what
	Purpose string      `json:"purpose"`          // of use, as the client's token has it
	Reason  string      `json:"reason"`           // as an admin gave it
	Source  string      `json:"source"`           // network address
	Route   string      `json:"route"`            // method and pattern, without what was filled in
}

// Counts are numbers by name.
type Counts map[string]int64

// New returns an event of the given moment with an id.
func New(at time.Time) Event {
	return Event{ID: models.NewID(), At: at.UTC().Truncate(time.Microsecond)}
}

// System returns the event of something a run did for a client.
func System(at time.Time, client, action string, outcome Outcome) Event {
	e := New(at)
	e.Kind, e.Actor, e.Client, e.Action, e.Outcome = ActorSystem, "worker", client, action, outcome
	return e
}

// Entry is the event of a request while it is handled. Whoever learns something of it writes it there. It is used by one
// goroutine.
type Entry struct {
	Event
	// Written is set when the event was stored together with what it tells of.
	Written bool
	// Important has the event stored before the request is answered, in any case.
	Important bool
}

// From notes who the request comes from.
func (e *Entry) From(kind ActorKind, id string) { e.Kind, e.Actor = kind, id }

type key struct{}

// With returns a context in which Of finds the entry.
func With(ctx context.Context, e *Entry) context.Context { return context.WithValue(ctx, key{}, e) }

// Of returns the entry of the request that a context belongs to. Where there is none, it is one that nobody reads.
func Of(ctx context.Context) *Entry {
	if e, ok := ctx.Value(key{}).(*Entry); ok {
		return e
	}
	return &Entry{}
}

// Known reports whether a context belongs to a request that has an entry.
func Known(ctx context.Context) bool { return ctx.Value(key{}) != nil }

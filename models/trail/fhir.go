package trail

import (
	"strconv"
	"time"
)

// AuditEvent is a record as FHIR R4 has it (https://hl7.org/fhir/R4/auditevent.html), ready for encoding/json. Members and
// Groups are named by row ids, as identifiers: this server has no URL for them that everybody may know.
type AuditEvent struct {
	ResourceType string    `json:"resourceType"`
	ID           string    `json:"id"`
	Type         coding    `json:"type"`
	Subtype      []coding  `json:"subtype"`
	Action       string    `json:"action"`
	Recorded     time.Time `json:"recorded"`
	Outcome      string    `json:"outcome"`
	OutcomeDesc  string    `json:"outcomeDesc"`
	PurposeOf    []concept `json:"purposeOfEvent,omitempty"`
	Agent        []agent   `json:"agent"`
	Source       source    `json:"source"`
	Entity       []entity  `json:"entity,omitempty"`
}

type coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

type concept struct {
	Text string `json:"text"`
}

type reference struct {
	Identifier identifier `json:"identifier"`
}

type identifier struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

type agent struct {
	Who       *reference `json:"who,omitempty"`
	Requestor bool       `json:"requestor"`
	Network   *network   `json:"network,omitempty"`
}

type network struct {
	Address string `json:"address"`
	Type    string `json:"type"`
}

type source struct {
	Observer display `json:"observer"`
}

type display struct {
	Display string `json:"display"`
}

type entity struct {
	What   *reference `json:"what,omitempty"`
	Name   string     `json:"name"`
	Detail []detail   `json:"detail,omitempty"`
}

type detail struct {
	Type  string `json:"type"`
	Value string `json:"valueString"`
}

// ids is the beginning of the systems that our row ids are identifiers of.
const ids = "urn:pdexbulk:"

// AuditEvent returns the record in its FHIR form.
func (r *Record) AuditEvent() AuditEvent {
	e := &r.Event
	out := AuditEvent{
		ResourceType: "AuditEvent", ID: e.ID, Recorded: e.At,
		Type:    coding{"http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "RESTful Operation"},
		Subtype: []coding{{ids + "action", e.Action, ""}},
		Action:  verb(e), Outcome: severity(e.Outcome), OutcomeDesc: string(e.Outcome),
		Source: source{display{"PDex Bulk Exchange"}},
	}
	if e.Kind == ActorSystem {
		out.Type = coding{"http://dicom.nema.org/resources/ontology/DCM", "110100", "Application Activity"}
	}
	if e.Purpose != "" {
		out.PurposeOf = []concept{{e.Purpose}}
	}
	who := agent{Requestor: true}
	if e.Actor != "" {
		who.Who = &reference{identifier{ids + string(e.Kind), e.Actor}}
	}
	if e.Source != "" {
		who.Network = &network{e.Source, "2"} // an IP address
	}
	out.Agent = []agent{who}
	out.Entity = append(out.Entity, entity{Name: "record", Detail: r.details()})
	add := func(name, value string) {
		if value != "" {
			out.Entity = append(out.Entity, entity{Name: name, What: &reference{identifier{ids + name, value}}})
		}
	}
	add("client", e.Client)
	add("job", e.Job)
	add("group", e.Group)
	add("target", e.Target)
	for _, m := range e.Members {
		add("member", m.String())
	}
	return out
}

func (r *Record) details() []detail {
	out := []detail{{"seq", strconv.FormatInt(r.Seq, 10)}}
	for _, d := range []detail{{"route", r.Route}, {"reason", r.Reason}, {"counts", r.Counts.Text()}} {
		if d.Value != "" {
			out = append(out, d)
		}
	}
	if r.Status != 0 {
		out = append(out, detail{"status", strconv.Itoa(r.Status)})
	}
	return out
}

// verb is what was done, of C, R, U, D and E (execute).
func verb(e *Event) string {
	method := e.Route
	for i, c := range e.Route {
		if c == ' ' {
			method = e.Route[:i]
			break
		}
	}
	switch method {
	case "GET", "HEAD":
		return "R"
	case "PUT", "PATCH":
		return "U"
	case "DELETE":
		return "D"
	default:
		return "E"
	}
}

func severity(o Outcome) string {
	switch o {
	case Refused:
		return "4" // minor failure
	case Failed:
		return "8" // serious failure
	default:
		return "0"
	}
}

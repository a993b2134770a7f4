package consent

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Consent is what an HRex Consent says, as far as it bears on a release. It prints as "Consent".
type Consent struct {
	Status  string
	Patient *Party // nil when nobody is named
	// Policies are the URIs of policy, in the order written and with repetitions.
	Policies []string
	// Type is provision.type: permit or deny.
	Type string
	// OtherScope says that scope has a code of HL7's that is not patient-privacy.
	OtherScope bool
	// Unverified says that somebody set out to verify the consent with the patient, and nobody has.
	Unverified bool
	// Given is the earliest moment at which it can have been given: that of dateTime, else the start of the period. Nil when
	// neither is there.
	Given *time.Time
	// Start and End bound provision.period: it covers t if Start <= t < End. A date-only end covers the whole day, so End is
	// then the next midnight UTC. Nil where the bound is missing or no date.
	Start, End *time.Time
	Actors     []Actor
	Performers []Party // who agreed
	// Actions says that provision.action is there; Disclose, that it has disclose.
	Actions, Disclose bool
	// Unreadable says that what was submitted is no Consent, or one that only those may act on who understand more of it.
	Unreadable bool
	// Narrowed says that the provision carries restrictions which HRex does not allow and nobody here can honour.
	Narrowed bool
}

// Actor is an organisation in a role.
type Actor struct {
	Source    bool // who discloses: provenance-participant-type#performer
	Recipient bool // to whom: v3-ParticipationType#IRCP
	Party
}

// Party is whom a reference names.
type Party struct {
	Identifiers []string // "system|value", of the reference and of the contained resource it points to
	Reference   string   // as written
	Display     string
}

// Code systems of the HRex Consent.
const (
	systemSource    = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
	systemRecipient = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
	systemAction    = "http://terminology.hl7.org/CodeSystem/consentaction"
	systemScope     = "http://terminology.hl7.org/CodeSystem/consentscope"
)

// lastMoment is the latest end: later ones have no RFC 3339 form.
var lastMoment = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)

// Read reads what was submitted as a Consent, whatever it is. Missing and meaningless content is let be: DecideP2P denies it.
func Read(consentJSON []byte) Consent {
	c, err := parse(consentJSON)
	if err != nil {
		return Consent{Unreadable: true}
	}
	return c
}

// parse reads a Consent. The error is a models.Error of KindInvalid without content; it comes for what is not a Consent or
// carries a modifierExtension.
func parse(consentJSON []byte) (Consent, error) {
	in, err := fhir.ParseConsent(consentJSON)
	if err != nil {
		return Consent{}, err
	}
	contained := identifiersIn(in.Contained, "Organization")
	out := Consent{Status: in.Status, Unverified: unverified(in.Verification)}
	for _, scope := range in.Scope.Coding {
		out.OtherScope = out.OtherScope || scope.System == systemScope && scope.Code != "patient-privacy"
	}
	if p := in.Patient; p != nil && (p.Reference != "" || p.Display != "" || p.Identifier != nil && p.Identifier.Value != "") {
		out.Patient = new(party(*p, identifiersIn(in.Contained, "Patient")))
	}
	for _, performer := range in.Performer {
		out.Performers = append(out.Performers, party(performer, contained))
	}
	for _, policy := range in.Policy {
		if policy.URI != "" {
			out.Policies = append(out.Policies, policy.URI)
		}
	}
	if in.Provision != nil {
		out.read(*in.Provision, contained)
	}
	out.Given = out.Start
	if d, err := fhir.ParseDateTime(in.DateTime); err == nil {
		from, _ := d.Range()
		out.Given = new(time.UnixMilli(from).UTC())
	}
	return out, nil
}

func unverified(list []fhir.ConsentVerification) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(v fhir.ConsentVerification) bool { return v.Verified })
}

func (c *Consent) read(p fhir.Provision, contained map[string][]fhir.Identifier) {
	c.Type = p.Type
	if p.Period != nil {
		c.Start, c.End = bounds(*p.Period)
	}
	for _, actor := range p.Actor {
		c.Actors = append(c.Actors, Actor{
			Source:    actor.Role.Has(systemSource, "performer"),
			Recipient: actor.Role.Has(systemRecipient, "IRCP"),
			Party:     party(actor.Reference, contained),
		})
	}
	for _, action := range p.Action {
		c.Actions = true
		c.Disclose = c.Disclose || action.Has(systemAction, "disclose")
	}
	c.Narrowed = len(p.SecurityLabel) > 0 || len(p.Purpose) > 0 || len(p.Class) > 0 || len(p.Code) > 0 ||
		p.DataPeriod != nil || len(p.Data) > 0 || len(p.Provision) > 0
}

// bounds turns a period into the half-open span it covers.
func bounds(p fhir.Period) (start, end *time.Time) {
	if d, err := fhir.ParseDateTime(p.Start); err == nil {
		from, _ := d.Range()
		start = new(time.UnixMilli(from).UTC())
	}
	if d, err := fhir.ParseDateTime(p.End); err == nil {
		_, to := d.Range()
		end = new(time.UnixMilli(to).UTC())
		if end.After(lastMoment) {
			end = new(lastMoment)
		}
	}
	return start, end
}

// party reads whom a reference names, in what is contained too.
func party(r fhir.Reference, contained map[string][]fhir.Identifier) Party {
	p := Party{Reference: r.Reference, Display: r.Display}
	if r.Identifier != nil {
		p.add(*r.Identifier)
	}
	if id, ok := strings.CutPrefix(r.Reference, "#"); ok {
		for _, identifier := range contained[id] {
			p.add(identifier)
		}
	}
	return p
}

func (p *Party) add(identifier fhir.Identifier) {
	if identifier.System != "" && identifier.Value != "" {
		p.Identifiers = append(p.Identifiers, models.CanonicalOrganization(identifier.System+"|"+identifier.Value))
	}
}

// is reports whether the party is an organisation known by the given names: identifiers as "system|value", or references.
func (p Party) is(names []string) bool {
	for _, name := range names {
		if !strings.Contains(name, "|") {
			if name != "" && name == p.Reference && !strings.HasPrefix(name, "#") {
				return true
			}
			continue
		}
		for _, identifier := range p.Identifiers {
			if models.CanonicalOrganization(name) == identifier {
				return true
			}
		}
	}
	return false
}

// isAnother reports whether the party is somebody else than a person with the given numbers, "system|value": it has another one where
// the person has one of the same system. How a number is written does not matter.
func (p Party) isAnother(numbers []string) bool {
	return slices.ContainsFunc(p.Identifiers, func(identifier string) bool {
		system, value, _ := strings.Cut(identifier, "|")
		known, same := false, false
		for _, number := range numbers {
			if s, v, _ := strings.Cut(number, "|"); s == system {
				known, same = true, same || plainNumber(v) == plainNumber(value)
			}
		}
		return known && !same
	})
}

// plainNumber is a number without what only sets it out.
func plainNumber(value string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToUpper(r)
		}
		return -1
	}, value)
}

// identifiersIn collects the identifiers of contained resources of a type by id. An id that two resources have names neither.
func identifiersIn(contained []json.RawMessage, resourceType string) map[string][]fhir.Identifier {
	found := map[string][]fhir.Identifier{}
	seen := map[string]bool{}
	for _, data := range contained {
		var o struct {
			ResourceType string            `json:"resourceType"`
			ID           string            `json:"id"`
			Identifier   []fhir.Identifier `json:"identifier"`
		}
		if json.Unmarshal(data, &o) != nil || o.ID == "" {
			continue
		}
		if seen[o.ID] || o.ResourceType != resourceType {
			delete(found, o.ID)
		} else {
			found[o.ID] = o.Identifier
		}
		seen[o.ID] = true
	}
	return found
}

// Format prints the name of the type, whatever the verb.
func (Consent) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Consent") }

// LogValue logs the name of the type.
func (Consent) LogValue() slog.Value { return slog.StringValue("Consent") }

// Format prints the name of the type, whatever the verb.
func (Party) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Party") }

// LogValue logs the name of the type.
func (Party) LogValue() slog.Value { return slog.StringValue("Party") }

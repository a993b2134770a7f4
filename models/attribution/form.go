// Package attribution shows attribution lists: whom a list names at this moment, and its form as a Group (PDex 2.2.0, profile
// pdex-provider-group, an ATRGroup of Da Vinci ATR 2.1.0). It also finds out whom somebody means who puts a member on one. What a list
// opens is decided in models/consent, by way of models/recheck.
package attribution

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/recheck"
	"pdexbulk/models/store"
)

const (
	atr        = "http://hl7.org/fhir/us/davinci-atr/StructureDefinition/"
	codes      = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMemberAttributionCS"
	groupCode  = "pdexprovidergroup"
	groupName  = "PDex Provider Group"
	groupURNs  = "urn:ietf:rfc:3986"
	pageLength = 1000 // members that are looked at in one go
)

// Cursor is the row id of the member behind whom a page begins.
type Cursor = uuid.UUID

// Page reads members of a list behind the given one, with all that decides about them. After the last there are none.
type Page func(after Cursor) ([]store.ListedMember, store.Claim, error)

// AsItIs reads a list as it is when a page is read.
func AsItIs(ctx context.Context, s *store.Store, id string) Page {
	return func(after Cursor) ([]store.ListedMember, store.Claim, error) {
		return read(after, func(after Cursor) ([]store.ListedMember, error) { return s.ListedMembers(ctx, id, after, pageLength) },
			func(members []uuid.UUID) (store.Claim, error) { return s.Claim(ctx, id, members) })
	}
}

// InSnapshot reads a list as of when the snapshot was opened.
func InSnapshot(view *store.Snapshot, id string) Page {
	return func(after Cursor) ([]store.ListedMember, store.Claim, error) {
		return read(after, func(after Cursor) ([]store.ListedMember, error) { return view.ListedMembers(id, after, pageLength) },
			func(members []uuid.UUID) (store.Claim, error) { return view.Claim(id, members) })
	}
}

func read(after Cursor, list func(Cursor) ([]store.ListedMember, error), claim func([]uuid.UUID) (store.Claim, error)) ([]store.ListedMember, store.Claim, error) {
	members, err := list(after)
	if err != nil || len(members) == 0 {
		return nil, store.Claim{}, err
	}
	ids := make([]uuid.UUID, len(members))
	for i, m := range members {
		ids[i] = m.Member
	}
	c, err := claim(ids)
	return members, c, err
}

// Form is a list on its way to its Group. The members come from the Page one page after another, so memory does not grow with the
// list, and what holds when a page is read decides about its members.
type Form struct {
	List models.AttributionList
	// HolderIDs and Holder identify and name the payer that holds the data and keeps the list, Owner names the organisation whose it is.
	HolderIDs     []string
	Holder, Owner string
	Now           func() time.Time
	Page          Page
	// Only limits the members to these Patients; nil means all.
	Only []string
	// Cut, unless nil, is what _elements leaves of a Group.
	Cut func(group []byte) []byte
	// Fits, unless nil, is whether a _typeFilter lets a Group through. It is asked of the Group without its members.
	Fits func(group []byte) bool

	next    []byte // members that are read and not written
	last    uuid.UUID
	begun   bool
	ended   bool
	some    bool
	members int
	// Providers are those that the Group refers to, as Type/id, when it is written.
	Providers map[string]bool
}

// Begin reads the first page, so that what goes wrong can still be told.
func (f *Form) Begin() error {
	f.Providers = map[string]bool{}
	f.begun = true
	return f.fill()
}

// fill reads members until there is something to write.
func (f *Form) fill() error {
	for len(f.next) == 0 && !f.ended {
		page, claim, err := f.Page(f.last)
		if err != nil {
			return err
		}
		if f.ended = len(page) == 0; f.ended {
			return nil
		}
		f.last = page[len(page)-1].Member
		for _, m := range page {
			if m.Patient == "" || f.Only != nil && !slices.Contains(f.Only, m.Patient) {
				continue
			}
			if err := f.add(m, &claim); err != nil {
				return err
			}
		}
	}
	return nil
}

// add writes what the list says of a member: an entry for each attribution. Whoever has opted out is not there.
func (f *Form) add(m store.ListedMember, claim *store.Claim) error {
	listed := recheck.Listed(claim, m.Member, f.Now())
	if listed.Hidden {
		return nil
	}
	for i, a := range claim.Attributions[m.Member] {
		change := a.Change
		if !listed.Stands[i] {
			change = models.AttributionDropped
		}
		entry := fhir.GroupMember{
			Extension: []fhir.Extension{{URL: atr + "ext-changeType", ValueCode: string(change)}},
			Entity:    fhir.Reference{Reference: "Patient/" + m.Patient},
			Period:    period(a.Start, a.End),
			Inactive:  new(!listed.Stands[i]),
		}
		if a.Coverage != "" {
			entry.Extension = append(entry.Extension, fhir.Extension{URL: atr + "ext-coverageReference", ValueReference: &fhir.Reference{Reference: "Coverage/" + a.Coverage}})
		}
		if who := f.provider(a, claim); who != nil {
			entry.Extension = append(entry.Extension, fhir.Extension{URL: atr + "ext-attributedProvider", ValueReference: who})
		}
		text, err := json.Marshal(entry)
		if err != nil {
			return err
		}
		if f.some {
			f.next = append(f.next, ',')
		}
		f.next, f.some = append(f.next, text...), true
		f.members++
	}
	return nil
}

// provider refers to whom a member is attributed to, nil when that is the one whose list it is and the Group says so.
func (f *Form) provider(a models.Attribution, claim *store.Claim) *fhir.Reference {
	if a.NPI == "" {
		return nil
	}
	ref := &fhir.Reference{Reference: a.Provider, Identifier: &fhir.Identifier{System: models.NPISystem, Value: a.NPI}}
	if a.Provider != "" {
		f.Providers[a.Provider] = true
		return ref
	}
	switch claim.Directory[a.NPI].Kind {
	case models.ProviderIndividual:
		ref.Type = "Practitioner"
	case models.ProviderOrganization:
		ref.Type = "Organization"
	}
	return ref
}

func period(start time.Time, end *time.Time) *fhir.Period {
	p := &fhir.Period{Start: fhir.FormatInstant(start.UnixMilli())}
	if end != nil {
		p.End = fhir.FormatInstant(end.UnixMilli())
	}
	return p
}

// The places of the members and of how many there are, behind the rest of the Group.
const (
	membersKey  = `"member":`
	quantityKey = `"quantity":`
)

// head is the Group with nobody in it.
func (f *Form) head() ([]byte, error) {
	l := f.List
	g := fhir.Group{
		ID: l.ID,
		Meta: &fhir.Meta{
			VersionID: strconv.FormatInt(l.Version, 10), LastUpdated: fhir.FormatInstant(l.UpdatedAt.UnixMilli()),
			Profile: []string{models.AttributionGroupProfile, models.ATRGroupProfile},
		},
		Extension: []fhir.Extension{
			{URL: atr + "ext-contractValidityPeriod", ValuePeriod: period(l.Start, l.End)},
			{URL: atr + "ext-attributionListStatus", ValueCode: string(l.Status)},
		},
		Identifier: []fhir.Identifier{{System: groupURNs, Value: "urn:uuid:" + l.ID}},
		Active:     new(true), Type: "person", Actual: true, Name: l.Name,
		Code:           new(fhir.Concept(codes, groupCode, groupName)),
		ManagingEntity: organization(f.HolderIDs, f.Holder),
		Characteristic: []fhir.Characteristic{{
			Code: fhir.Concept(codes, groupCode, groupName), ValueReference: organization(l.Organizations, f.Owner),
			Period: &fhir.Period{Start: fhir.FormatInstant(l.UpdatedAt.UnixMilli())},
		}},
	}
	for _, id := range l.Identifiers {
		g.Identifier = append(g.Identifier, *identifier(id))
	}
	return json.Marshal(g)
}

func organization(ids []string, name string) *fhir.Reference {
	ref := &fhir.Reference{Display: name}
	if len(ids) > 0 {
		ref.Identifier = identifier(ids[0])
	}
	return ref
}

func identifier(id string) *fhir.Identifier {
	system, value, _ := strings.Cut(id, "|")
	return &fhir.Identifier{System: system, Value: value}
}

// WriteTo writes the Group as JSON without a line's end, and returns how many bytes that was; none when a _typeFilter keeps it back.
func (f *Form) WriteTo(w io.Writer) (int64, error) {
	if !f.begun {
		if err := f.Begin(); err != nil {
			return 0, err
		}
	}
	head, err := f.head()
	if err != nil {
		return 0, err
	}
	out := &tally{w: w}
	if f.Fits != nil && !f.Fits(head) {
		return 0, nil
	}
	withMembers, withQuantity := true, true
	if f.Cut != nil {
		// What stays of the whole is seen from a Group with something in these places.
		full := append(head[:len(head)-1:len(head)-1], `,`+membersKey+`[{}],`+quantityKey+`1}`...)
		left := f.Cut(full)
		withMembers, withQuantity = bytes.Contains(left, []byte(membersKey+`[{}]`)), bytes.Contains(left, []byte(quantityKey+`1`))
		head = f.Cut(head)
	}
	out.write(head[:len(head)-1])
	if withMembers && len(f.next) > 0 {
		out.write([]byte(`,` + membersKey + `[`))
	}
	for len(f.next) > 0 {
		if withMembers {
			out.write(f.next)
		}
		f.next = f.next[:0]
		if err := f.fill(); err != nil {
			return out.n, err
		}
	}
	if withMembers && f.some {
		out.write([]byte(`]`))
	}
	if withQuantity {
		out.write([]byte(`,` + quantityKey + strconv.Itoa(f.members)))
	}
	out.write([]byte(`}`))
	if out.err != nil {
		return out.n, fmt.Errorf("write an attribution list: %w", out.err)
	}
	return out.n, nil
}

// tally counts what is written and keeps the first error.
type tally struct {
	w   io.Writer
	n   int64
	err error
}

func (t *tally) write(b []byte) {
	if t.err != nil {
		return
	}
	n, err := t.w.Write(b)
	t.n, t.err = t.n+int64(n), err
}

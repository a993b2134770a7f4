package match

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Person is somebody as the matcher sees them, normalised. Lists are without repetition. It prints as "Person".
type Person struct {
	Families   []string // words with one space between, see Name; the official one first
	Givens     []string // the words of each name's given names, one space between: "patricia ann"; the official one first
	Suffix     string   // jr, sr, 3, 4, or "" when there is none
	BirthDate  *int32   // days since 1970-01-01; nil unless the whole date is known
	Gender     string   // male, female, other, or "" when unknown
	Multiple   bool     // a twin or other multiple
	BirthOrder int      // which of them, 0 when not known
	Addresses  []Address
	Phones     []string
	Emails     []string

	// From Coverages.
	IDs     []ID     // also from the Patient
	Groups  []string // numbers of employer groups
	Payers  []string // identifiers of payers, system and value
	Periods []Span   // when they cover

	// own are the member ids that only the Patient carries. Those of a person asked for are the asker's: that they are not
	// ours means nothing.
	own []string
}

// Span is a period in days since 1970-01-01, both ends included.
type Span struct{ From, To int32 }

// FromPatient makes a Person of a Patient, with the identifiers that the Patient itself carries. Former names count, a name
// given as anonymous does not. A Patient that another one replaces (link.type replaced-by) is nobody: its successor is.
func FromPatient(d fhir.Demographics) Person {
	var p Person
	for _, link := range d.Links {
		if link.Type == "replaced-by" {
			return p
		}
	}
	p.Multiple, p.BirthOrder = d.MultipleBirth, max(0, min(d.BirthOrder, 99))
	for _, n := range d.Names {
		if order := orderOf(n.Given); order > 0 {
			p.Multiple, p.BirthOrder = true, cmp.Or(p.BirthOrder, order)
		}
	}
	for _, n := range readNames(d.Names) {
		p.Families = appendNew(p.Families, n.family)
		p.Givens = appendNew(p.Givens, n.given)
		if p.Suffix == "" {
			p.Suffix = n.suffix
		}
	}
	if d.Born != nil && d.Born.Precision == fhir.PrecisionDay && !placeholderDate(d.Born.First) {
		day := d.Born.First
		p.BirthDate = &day
	}
	p.Gender = gender(d)
	p.readAddresses(d.Addresses)
	p.readContacts(d.Telecoms)
	for _, identifier := range d.Identifiers {
		if kind, ok := patientKind(identifier); ok {
			p.addID(kind, identifier.Value)
		}
	}
	for _, id := range p.IDs {
		p.own = append(p.own, id.Value)
	}
	p.sortIDs()
	return p
}

// AddCards adds the identifiers of Coverages. The caller sees to it that they are the person's own: on a family's Coverage
// the person is the beneficiary. A Coverage that was entered in error says nothing.
func (p *Person) AddCards(cards []fhir.Card) {
	before := p.IDs
	p.IDs = nil
	for _, card := range cards {
		if card.Status != "entered-in-error" {
			p.addCard(card)
		}
	}
	p.own = slices.DeleteFunc(p.own, func(value string) bool {
		return slices.ContainsFunc(p.IDs, func(id ID) bool { return id.Value == value })
	})
	p.IDs = append(p.IDs, before...)
	p.sortIDs()
}

func (p *Person) addCard(card fhir.Card) {
	p.addID(models.CardSubscriber, card.SubscriberID)
	for _, group := range card.Groups {
		if id := keep(nil, models.CardOther, normalise(norm.NFKC.String(group.Value))); len(id) > 0 {
			p.Groups = appendNew(p.Groups, id[0].Value)
		}
	}
	for _, payor := range card.Payors {
		for _, id := range payor.Identifiers {
			if value := normalise(id.Value); value != "" && id.System != "" && len(value) <= maxIDLength {
				p.Payers = appendNew(p.Payers, plainText(id.System)+" "+value)
			}
		}
	}
	if span, ok := spanOf(card.Period); ok && !slices.Contains(p.Periods, span) {
		p.Periods = append(p.Periods, span)
	}
	subscriber := normalise(card.SubscriberID)
	for _, identifier := range card.Identifiers {
		kind := cardKind(identifier)
		// A member id that is the subscriber's number is the family's.
		if kind == models.CardMemberID && subscriber != "" && normalise(identifier.Value) == subscriber {
			kind = models.CardSubscriber
		}
		p.addID(kind, identifier.Value)
	}
	// Many payers' member id is the subscriber's number and the dependant's, run together.
	if subscriber != "" && isDependent(card.Dependent) {
		p.addID(models.CardMemberID, subscriber+card.Dependent)
		if len(card.Dependent) == 1 {
			p.addID(models.CardMemberID, subscriber+"0"+card.Dependent)
		}
	}
}

// spanOf reads a period. There is none where neither end is known.
func spanOf(p fhir.Period) (Span, bool) {
	span := Span{From: math.MinInt32, To: math.MaxInt32}
	if from, err := fhir.ParseDate(p.Start); err == nil {
		span.From = from.First
	}
	if to, err := fhir.ParseDate(p.End); err == nil {
		span.To = to.Last
	}
	return span, (span.From != math.MinInt32 || span.To != math.MaxInt32) && span.From <= span.To
}

// ByCard returns somebody of whom nothing is known but a number on their card. A number that can identify nobody leaves nothing.
func ByCard(number string) Person {
	var p Person
	p.addID(models.CardOther, number)
	return p
}

// HasCard reports whether a person has a number of another one's on a card. Social security numbers are no cards.
func (p *Person) HasCard(asked Person) bool {
	return slices.ContainsFunc(p.IDs, func(id ID) bool {
		return id.Kind != models.CardSSN && slices.ContainsFunc(asked.IDs, func(a ID) bool { return a.Value == id.Value })
	})
}

// Merge adds what another source says of the same person. What only a Patient says is taken from whichever has it.
func (p *Person) Merge(q Person) {
	for _, s := range q.Families {
		p.Families = appendNew(p.Families, s)
	}
	for _, s := range q.Givens {
		p.Givens = appendNew(p.Givens, s)
	}
	p.Suffix, p.Gender, p.BirthOrder = cmp.Or(p.Suffix, q.Suffix), cmp.Or(p.Gender, q.Gender), cmp.Or(p.BirthOrder, q.BirthOrder)
	p.Multiple = p.Multiple || q.Multiple
	if p.BirthDate == nil {
		p.BirthDate = q.BirthDate
	}
	for _, a := range q.Addresses {
		if !slices.Contains(p.Addresses, a) {
			p.Addresses = append(p.Addresses, a)
		}
	}
	for _, s := range q.Phones {
		p.Phones = appendNew(p.Phones, s)
	}
	for _, s := range q.Emails {
		p.Emails = appendNew(p.Emails, s)
	}
	p.IDs = append(p.IDs, q.IDs...)
	for _, s := range q.Groups {
		p.Groups = appendNew(p.Groups, s)
	}
	for _, s := range q.Payers {
		p.Payers = appendNew(p.Payers, s)
	}
	for _, s := range q.Periods {
		if !slices.Contains(p.Periods, s) {
			p.Periods = append(p.Periods, s)
		}
	}
	p.sortIDs()
}

// IsZero reports whether nothing is known.
func (p *Person) IsZero() bool {
	return len(p.Families) == 0 && len(p.Givens) == 0 && p.BirthDate == nil && p.Gender == "" && len(p.Addresses) == 0 && len(p.Phones) == 0 &&
		len(p.Emails) == 0 && len(p.IDs) == 0 && len(p.Groups) == 0 && len(p.Payers) == 0 && len(p.Periods) == 0 && p.Suffix == "" && !p.Multiple
}

func (p *Person) addID(kind models.CardKind, value string) {
	p.IDs = append(p.IDs, IDs(kind, value)...)
}

func (p *Person) sortIDs() {
	slices.SortFunc(p.IDs, func(a, b ID) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value))
	})
	p.IDs = slices.Compact(p.IDs)
}

type name struct {
	rank                  int
	family, given, suffix string
}

// readNames normalises names and puts the official one first; beyond that their order does not matter.
func readNames(names []fhir.HumanName) []name {
	var out []name
	for _, n := range names {
		if n.Use == "anonymous" {
			continue
		}
		words, suffix := GivenWords(n.Given)
		family, fromFamily := family(n.Family)
		suffix = cmp.Or(generationOf(n.Suffix), fromFamily, suffix)
		out = append(out, name{rank: nameRank[n.Use], family: family, given: strings.Join(words, " "), suffix: suffix})
	}
	slices.SortFunc(out, func(a, b name) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.family, b.family), cmp.Compare(a.given, b.given),
			cmp.Compare(a.suffix, b.suffix))
	})
	return out
}

// orderOf returns which of a multiple birth a stand-in for a name tells ("Baby Boy B", "Twin A"), 0 for none.
func orderOf(given []string) int {
	words := strings.Fields(fold(strings.Join(given, " ")))
	if len(words) < 2 || !newborn[words[0]] {
		return 0
	}
	switch last := words[len(words)-1]; {
	case len(last) == 1 && last[0] >= 'a' && last[0] <= 'f':
		return int(last[0]-'a') + 1
	case len(last) == 1 && last[0] >= '1' && last[0] <= '6':
		return int(last[0] - '0')
	}
	return 0
}

// nameRank orders the uses of names (http://hl7.org/fhir/name-use). A name without a use comes after the usual one.
var nameRank = map[string]int{"official": -3, "usual": -2, "": -1, "temp": 1, "nickname": 1, "old": 2, "maiden": 2}

func generationOf(suffixes []string) string {
	for _, s := range suffixes {
		for word := range strings.FieldsSeq(fold(s)) {
			if g := generation[word]; g != "" {
				return g
			}
		}
	}
	return ""
}

// gender prefers the administrative gender, as HRex does, and falls back on the sex at birth.
func gender(d fhir.Demographics) string {
	switch d.Gender {
	case "male", "female", "other":
		return d.Gender
	}
	switch d.BirthSex {
	case "M":
		return "male"
	case "F":
		return "female"
	}
	return ""
}

func appendNew(list []string, s string) []string {
	if s == "" || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// Identifier systems that say what a number is, whatever its type says.
var systemKind = map[string]models.CardKind{
	"http://hl7.org/fhir/sid/us-mbi":      models.CardMBI,
	"urn:oid:2.16.840.1.113883.4.927":     models.CardMBI,
	"http://hl7.org/fhir/sid/us-ssn":      models.CardSSN,
	"urn:oid:2.16.840.1.113883.4.1":       models.CardSSN,
	"http://hl7.org/fhir/sid/us-medicare": models.CardOther, // numbers from before the MBI
}

// Identifier types that say what a number is: HL7 table 0203, and the unique member id of CARIN and HRex.
var typeKind = map[fhir.Coding]models.CardKind{
	{System: fhir.SystemIdentifierType, Code: "MB"}:                                       models.CardMemberID,
	{System: fhir.SystemIdentifierType, Code: "SN"}:                                       models.CardSubscriber,
	{System: fhir.SystemIdentifierType, Code: "MC"}:                                       models.CardMBI,
	{System: fhir.SystemIdentifierType, Code: "SS"}:                                       models.CardSSN,
	{System: fhir.SystemIdentifierType, Code: "MA"}:                                       models.CardOther, // Medicaid
	{System: "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType", Code: "um"}: models.CardMemberID,
	{System: "http://hl7.org/fhir/us/davinci-hrex/CodeSystem/hrex-temp", Code: "UMB"}:     models.CardMemberID,
}

// kindOf tells the kind of an identifier from its system or type. typed is set when it has a type, known here or not.
func kindOf(identifier fhir.Identifier) (kind models.CardKind, typed bool) {
	if k := systemKind[identifier.System]; k != 0 {
		return k, true
	}
	if identifier.Type == nil {
		return 0, false
	}
	for _, coding := range identifier.Type.Coding {
		if k := typeKind[fhir.Coding{System: coding.System, Code: coding.Code}]; k != 0 {
			return k, true
		}
	}
	return 0, len(identifier.Type.Coding) > 0
}

// patientKind says what an identifier of a Patient is. Those of a type that no card shows (medical record number, driver's
// licence) are passed over.
func patientKind(identifier fhir.Identifier) (models.CardKind, bool) {
	kind, typed := kindOf(identifier)
	if kind == 0 && typed {
		return 0, false
	}
	return cmp.Or(kind, models.CardOther), true
}

// cardKind says what an identifier of a Coverage is.
func cardKind(identifier fhir.Identifier) models.CardKind {
	kind, _ := kindOf(identifier)
	return cmp.Or(kind, models.CardOther)
}

// Format prints the name of the type, whatever the verb.
func (Person) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Person") }

// LogValue logs the name of the type.
func (Person) LogValue() slog.Value { return slog.StringValue("Person") }

package match

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Person is somebody as the matcher sees them, normalised. Lists are without repetition. It prints as "Person".
type Person struct {
	Families  []string // see Name; the official one first
	Givens    []string // the words of each name's given names, one space between: "patricia ann"; the official one first
	Suffix    string   // jr, sr, 3, 4, or "" when there is none
	BirthDate *int32   // days since 1970-01-01; nil unless the whole date is known
	Gender    string   // male, female, other, or "" when unknown
	IDs       []ID
}

// Row is a row of the member index: what Candidates are made of. Suffix and given names share a column, see givenKey.
type Row struct {
	Family string
	Given  string
}

// FromPatient makes a Person of a Patient, with the identifiers that the Patient itself carries. Former names count, a name
// given as anonymous does not. A Patient that another one replaces (link.type replaced-by) is nobody: its successor is.
func FromPatient(d fhir.Demographics) Person {
	var p Person
	for _, link := range d.Links {
		if link.Type == "replaced-by" {
			return p
		}
	}
	for _, n := range readNames(d.Names) {
		p.Families = appendNew(p.Families, n.family)
		p.Givens = appendNew(p.Givens, n.given)
		if p.Suffix == "" {
			p.Suffix = n.suffix
		}
	}
	if d.Born != nil && d.Born.Precision == fhir.PrecisionDay {
		day := d.Born.First
		p.BirthDate = &day
	}
	p.Gender = gender(d)
	for _, identifier := range d.Identifiers {
		if kind, ok := patientKind(identifier); ok {
			p.addID(kind, identifier.Value)
		}
	}
	p.sortIDs()
	return p
}

// AddCards adds the identifiers of Coverages. The caller sees to it that they are the person's own: on a family's Coverage
// the person is the beneficiary. A Coverage that was entered in error says nothing.
func (p *Person) AddCards(cards []fhir.Card) {
	for _, card := range cards {
		if card.Status != "entered-in-error" {
			p.addCard(card)
		}
	}
	p.sortIDs()
}

func (p *Person) addCard(card fhir.Card) {
	p.addID(models.CardSubscriber, card.SubscriberID)
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

// Rows returns the member index rows of the person: one for each family name, more when there are more given names than
// that. There are none for a person without a family name, who is never found.
func (p Person) Rows() []Row {
	if len(p.Families) == 0 {
		return nil
	}
	rows := make([]Row, max(len(p.Families), len(p.Givens)))
	for i := range rows {
		given := ""
		if len(p.Givens) > 0 {
			given = p.Givens[min(i, len(p.Givens)-1)]
		}
		rows[i] = Row{Family: p.Families[min(i, len(p.Families)-1)], Given: givenKey(given, p.Suffix)}
	}
	return rows
}

// Values returns the distinct values of the person's identifiers, sorted: what to look up in the member index.
func (p Person) Values() []string {
	values := make([]string, len(p.IDs))
	for i, id := range p.IDs {
		values[i] = id.Value
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// givenKey joins given names and suffix for the member index; splitGiven parts them. A slash is in no normalised word.
func givenKey(given, suffix string) string {
	if suffix == "" {
		return given
	}
	return given + "/" + suffix
}

func splitGiven(key string) (given, suffix string) {
	given, suffix, _ = strings.Cut(key, "/")
	return given, suffix
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
		words, suffix := Given(n.Given)
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

// Format prints the name of the type, whatever the verb.
func (Row) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Row") }

// LogValue logs the name of the type.
func (Row) LogValue() slog.Value { return slog.StringValue("Row") }

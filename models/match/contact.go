package match

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"pdexbulk/models/fhir"
)

// Address is a postal address in the parts that are compared. Each is folded, "" when it is not known.
type Address struct {
	Number string // of the house or the post office box
	Street string // its words, one space between, without kinds of street, directions and units
	Place  string // city
	Zip    string // the first five digits of a US ZIP code, or the whole of another postal code
}

// readAddress takes an address apart. One without a street that is no more than a state or a country comes out empty.
func readAddress(a fhir.Address) Address {
	var out Address
	zip := solid(fold(a.PostalCode))
	if allDigits(zip) && len(zip) >= 9 {
		zip = zip[:5]
	}
	if !placeholderPlace[zip] && (zip == "" || strings.Trim(zip, "09") != "" || len(zip) < 5) {
		out.Zip = zip
	}
	if place := solid(fold(a.City)); !placeholderPlace[place] {
		out.Place = place
	}
	words := strings.Fields(fold(strings.Join(a.Line, " ")))
	street := words[:0:0]
	unit := false
	for _, w := range words {
		switch {
		case placeholderPlace[w] || w == "homeless" || w == "general" || w == "delivery":
			return Address{Place: out.Place, Zip: out.Zip}
		case unitWord[w]:
			unit = true
		case unit:
			unit = false // the number of the unit
		case out.Number == "" && w[0] >= '0' && w[0] <= '9':
			out.Number = strings.TrimLeft(w, "0")
		case streetWord[w] || len(w) == 1:
		default:
			street = append(street, w)
		}
	}
	out.Street = strings.Join(street, " ")
	return out
}

var placeholderPlace = map[string]bool{
	"unknown": true, "unk": true, "none": true, "na": true, "notprovided": true, "homeless": true, "00000": true, "99999": true,
	"anytown": true, "xxxxx": true, "nofixedaddress": true, "nfa": true,
}

var unitWord = map[string]bool{"apt": true, "apartment": true, "unit": true, "suite": true, "ste": true, "flat": true, "fl": true, "floor": true, "rm": true, "room": true, "lot": true}

// streetWord holds the kinds of streets and directions, which are abbreviated, left out and mixed up.
var streetWord = func() map[string]bool {
	words := map[string]bool{}
	for w := range strings.FieldsSeq(`street st str avenue ave av road rd drive dr lane ln court ct place pl boulevard blvd way
		circle cir crescent cres cr terrace ter terr parkway pkwy highway hwy square sq trail trl close cl grove gr crest crst
		north south east west ne nw se sw the po p o box pobox`) {
		words[w] = true
	}
	return words
}()

// Format prints the name of the type, whatever the verb.
func (Address) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Address") }

// LogValue logs the name of the type.
func (Address) LogValue() slog.Value { return slog.StringValue("Address") }

func (a Address) isZero() bool { return a == Address{} }

// readContacts adds telephone numbers and e-mail addresses.
func (p *Person) readContacts(points []fhir.ContactPoint) {
	for _, c := range points {
		if c.Use == "old" && c.System != "email" && c.System != "phone" {
			continue
		}
		switch {
		case c.System == "email" || c.System == "" && strings.Contains(c.Value, "@"):
			p.Emails = appendNew(p.Emails, email(c.Value))
		case c.System == "phone" || c.System == "sms":
			p.Phones = appendNew(p.Phones, phone(c.Value))
		}
	}
}

// phone returns the ten digits of a North American number, the digits of another, or "" for what is not a number or stands
// in for one.
func phone(value string) string {
	if i := strings.IndexAny(value, "xX;"); i > 0 { // an extension
		value = value[:i]
	}
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, value)
	if len(digits) > 10 && (digits[0] == '1' || strings.HasPrefix(digits, "001")) {
		digits = digits[len(digits)-10:]
	}
	if len(digits) < 7 || len(digits) > 15 {
		return ""
	}
	for _, tail := range []string{digits, digits[len(digits)-7:]} {
		if strings.Count(tail, tail[:1]) == len(tail) {
			return ""
		}
	}
	switch {
	case strings.HasSuffix(digits, "1234567") || strings.HasPrefix(digits, "1234567") || strings.HasPrefix(digits, "0123456"):
		return ""
	case len(digits) == 10 && strings.HasPrefix(digits, "000"):
		return ""
	}
	return digits
}

// email returns an address in lower case, without the part of its front that a provider ignores, or "" for what is none or
// stands in for one.
func email(value string) string {
	local, domain, ok := strings.Cut(strings.ToLower(strings.TrimSpace(value)), "@")
	local, _, _ = strings.Cut(local, "+")
	if !ok || local == "" || !strings.Contains(domain, ".") || strings.ContainsAny(local+domain, " \t@|\x1d\x1e\x1f") || len(local)+len(domain) > 120 {
		return ""
	}
	if placeholderMail[local] || placeholderMail[domain] {
		return ""
	}
	return local + "@" + domain
}

var placeholderMail = map[string]bool{
	"none": true, "noemail": true, "no": true, "na": true, "unknown": true, "refused": true, "declined": true, "test": true, "noreply": true, "no.email": true,
	"none.com": true, "noemail.com": true, "na.com": true, "unknown.com": true, "test.com": true, "domain.com": true, "email.com": true,
}

// readAddresses adds postal addresses, the present one first.
func (p *Person) readAddresses(list []fhir.Address) {
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b fhir.Address) int { return cmp.Compare(oldness(a.Use), oldness(b.Use)) })
	for _, a := range sorted {
		if out := readAddress(a); !out.isZero() && !slices.Contains(p.Addresses, out) {
			p.Addresses = append(p.Addresses, out)
		}
	}
}

func oldness(use string) int {
	if use == "old" {
		return 1
	}
	return 0
}

package match

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"golang.org/x/text/unicode/norm"

	"pdexbulk/models"
)

// ID is an identifier in normal form, with what kind of evidence it is. It prints as "ID".
type ID struct {
	Kind  models.CardKind
	Value string // A-Z and 0-9 alone; without leading zeros, but for a social security number, which has nine digits
}

// The lengths between which a normalised value can identify anybody.
const (
	minIDLength = 3
	maxIDLength = 64
)

// IDs returns the forms under which an identifier is indexed and looked up, none for a value that identifies nobody: a
// stand-in such as 999999999 or UNKNOWN, a masked number, a text too short or too long.
//
// A member id that ends in a separate dependant number ("W1234567-02") is one person's as a whole, and its front is the
// family's: both forms come, each under its kind. A member id without a separator is not taken apart. What is submitted as a
// Medicare number but does not look like one comes as CardOther.
func IDs(kind models.CardKind, value string) []ID {
	value = norm.NFKC.String(value)
	whole := normalise(value)
	switch kind {
	case models.CardSSN:
		return ssn(whole)
	case models.CardMBI:
		if !looksLikeMBI(whole) {
			kind = models.CardOther
		}
	case models.CardMemberID, models.CardSubscriber, models.CardOther:
	default:
		return nil
	}
	ids := keep(nil, kind, whole)
	if kind == models.CardMemberID || kind == models.CardSubscriber {
		if front, _, ok := cutDependent(value); ok && len(ids) > 0 {
			ids = keep(ids, models.CardSubscriber, normalise(front))
		}
	}
	return ids
}

func keep(ids []ID, kind models.CardKind, value string) []ID {
	if value == "" || placeholderID(value) {
		return ids
	}
	value = strings.TrimLeft(value, "0")
	if len(value) < minIDLength || len(value) > maxIDLength || placeholderID(value) {
		return ids
	}
	return append(ids, ID{kind, value})
}

// normalise keeps letters and digits, in upper case.
func normalise(value string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r &^ 0x20
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return -1
	}, value)
}

// cutDependent parts a number from the dependant number that is set off at its end: one or two digits, or three with a
// leading zero, behind the only separator and at least six letters and digits. A number written in groups is not one with a
// dependant number.
func cutDependent(value string) (front, dependent string, ok bool) {
	front, dependent, ok = cutLast(strings.TrimSpace(value))
	if !ok || !isDependent(dependent) || len(dependent) == 3 && dependent[0] != '0' {
		return "", "", false
	}
	if len(front) < 6 || normalise(front) != strings.ToUpper(front) {
		return "", "", false
	}
	return front, dependent, true
}

func cutLast(value string) (front, last string, ok bool) {
	i := strings.LastIndexAny(value, "-/ .*")
	if i < 0 {
		return "", "", false
	}
	return value[:i], value[i+1:], true
}

// isDependent reports whether s can be a dependant number: one to three digits.
func isDependent(s string) bool {
	return 1 <= len(s) && len(s) <= 3 && allDigits(s)
}

func allDigits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// placeholderID reports whether a normalised value is what people and systems write where they have none.
func placeholderID(value string) bool {
	if placeholderValue[value] {
		return true
	}
	return strings.Count(value, value[:1]) == len(value) // 0000, 999999999, XXX
}

var placeholderValue = map[string]bool{
	"123456789": true, "1234567890": true, "0123456789": true, "987654321": true, "9876543210": true,
	"UNKNOWN": true, "UNK": true, "NONE": true, "NULL": true, "NIL": true, "NOTAPPLICABLE": true, "NOTAVAILABLE": true,
	"NOTPROVIDED": true, "PENDING": true, "TBD": true, "TEST": true, "SELF": true, "NOID": true, "NOTONFILE": true,
	"REFUSED": true, "DECLINED": true, "MEMBERID": true, "SUBSCRIBERID": true,
}

// ssn normalises a social security number to nine digits: systems that keep it as a number lose leading zeros. A masked one
// is too short. Numbers that were never issued are stand-ins; those from 900 up may be taxpayer numbers and are kept.
func ssn(value string) []ID {
	if len(value) < 7 || len(value) > 9 || !allDigits(value) {
		return nil
	}
	value = strings.Repeat("0", 9-len(value)) + value
	area, group, serial := value[:3], value[3:5], value[5:]
	if area == "000" || area == "666" || group == "00" || serial == "0000" || placeholderID(value) || advertisedSSN[value] {
		return nil
	}
	return []ID{{models.CardSSN, value}}
}

// advertisedSSN holds numbers that were printed in advertisements and have been copied ever since.
var advertisedSSN = map[string]bool{"078051120": true, "219099999": true, "457555462": true}

// looksLikeMBI reports whether a value has the shape of a Medicare Beneficiary Identifier (CMS, "Understanding the MBI
// format"): eleven characters C A AN N A AN N A A N N. Letters that CMS leaves out are let through, synthetic data has them.
func looksLikeMBI(value string) bool {
	const shape = "9A*9A*9AA99"
	if len(value) != len(shape) || value[0] == '0' {
		return false
	}
	for i := range len(shape) {
		digit := '0' <= value[i] && value[i] <= '9'
		if shape[i] == '9' && !digit || shape[i] == 'A' && digit {
			return false
		}
	}
	return true
}

// Format prints the name of the type, whatever the verb.
func (ID) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "ID") }

// LogValue logs the name of the type.
func (ID) LogValue() slog.Value { return slog.StringValue("ID") }

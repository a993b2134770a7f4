package quality

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"pdexbulk/models/fhir"
)

// record is one line of a published set.
type record map[string]string

// published reads the labelled sets in a folder. Each comes twice: with everybody on the roster, and with every other person
// left out of it, about whom is asked all the same.
func published(dir string) ([]*set, error) {
	f, err := os.Open(filepath.Join(dir, "records.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	bySource := map[string][]record{}
	for _, line := range lines[1:] {
		r := record{}
		for i, name := range lines[0] {
			r[name] = line[i]
		}
		bySource[r["source"]] = append(bySource[r["source"]], r)
	}
	expectations, err := graded(dir)
	if err != nil {
		return nil, err
	}
	var sets []*set
	for _, source := range []string{"febrl1", "cdc100", "cdcnbs", "splink"} {
		if source == "cdcnbs" {
			sets = append(sets, gradedSet(bySource[source], expectations))
			continue
		}
		sets = append(sets, clusterSet(source, bySource[source], false), clusterSet(source, bySource[source], true))
	}
	return sets, nil
}

type expectation struct{ query, roster, label string }

func graded(dir string) ([]expectation, error) {
	f, err := os.Open(filepath.Join(dir, "pairs.csv"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	var out []expectation
	for _, line := range lines[1:] {
		if line[3] == "cdcnbs" {
			out = append(out, expectation{line[0], line[1], line[2]})
		}
	}
	return out, nil
}

// clusterSet puts one record of each person on the roster, the original where the set names one, else the first, and asks
// with the others.
func clusterSet(name string, records []record, half bool) *set {
	s := &set{name: name, members: map[string]int{}}
	if half {
		s.name += " half absent"
	}
	chosen := map[string]record{}
	for _, r := range records {
		id := r["entity_id"]
		if chosen[id] == nil || r["role"] == "org" {
			chosen[id] = r
		}
	}
	absent := func(id string) bool { return half && number(id, 1)%2 == 0 }
	for _, r := range records {
		if id := r["entity_id"]; chosen[id]["record_id"] == r["record_id"] && !absent(id) {
			s.enrol(id, r.patient(), r.card(id, 0))
		}
	}
	for i, r := range records {
		id := r["entity_id"]
		if chosen[id]["record_id"] == r["record_id"] {
			continue
		}
		truth := id
		if absent(id) {
			truth = ""
		}
		s.ask(query{kind: differences(r, chosen[id]), patient: r.patient(), card: r.card(id, 1+i%4), truth: truth})
	}
	return s
}

// gradedSet asks with the records whose published grade is match, no_match or possible_match against one of the roster. The
// grades are of what a matcher should dare, and all of them are about one person: a record graded no_match or possible is
// not counted among those that must be found, and answering it with its own person is not counted as wrong but apart.
func gradedSet(records []record, expectations []expectation) *set {
	s := &set{name: "cdcnbs", members: map[string]int{}}
	byID := map[string]record{}
	for _, r := range records {
		byID[r["record_id"]] = r
		if r["role"] == "roster" {
			s.enrol(r["record_id"], r.patient(), r.card(r["record_id"], 0))
		}
	}
	for i, e := range expectations {
		r := byID[e.query]
		q := query{kind: "graded match", patient: r.patient(), card: r.card(e.roster, 1+i%4), truth: e.roster}
		if e.label != "1" {
			q.kind, q.optional = "graded no_match", true
			if e.label == "possible" {
				q.kind = "graded possible"
			}
		}
		s.ask(q)
	}
	return s
}

// differences names the error of a record: the one field that differs from the roster's, or how many do.
func differences(r, roster record) string {
	var fields []string
	for _, f := range []string{"given_name", "middle_name", "family_name", "name_suffix", "birth_date", "sex", "street", "city", "postal_code", "phone", "email", "ssn"} {
		switch a, b := strings.ToLower(r[f]), strings.ToLower(roster[f]); {
		case a == b:
		case a == "" || b == "":
			fields = append(fields, f+" missing")
		default:
			fields = append(fields, f+" differs")
		}
	}
	switch len(fields) {
	case 0:
		return "identical"
	case 1:
		return fields[0]
	}
	return strconv.Itoa(len(fields)) + " fields"
}

func (r record) patient() fhir.Demographics {
	d := fhir.Demographics{ID: r["record_id"], Active: true}
	name := fhir.HumanName{Family: r["family_name"]}
	for _, given := range []string{r["given_name"], r["middle_name"]} {
		if given != "" {
			name.Given = append(name.Given, given)
		}
	}
	if r["name_suffix"] != "" {
		name.Suffix = []string{r["name_suffix"]}
	}
	d.Names = []fhir.HumanName{name}
	d.BirthDate = isoDate(r["birth_date"])
	if born, err := fhir.ParseDate(d.BirthDate); err == nil {
		d.Born = &born
	}
	d.Gender = map[string]string{"F": "female", "M": "male"}[r["sex"]]
	a := fhir.Address{City: r["city"], State: r["state"], PostalCode: r["postal_code"], Country: r["country"]}
	for _, line := range []string{r["street"], r["street2"]} {
		if line != "" {
			a.Line = append(a.Line, line)
		}
	}
	if a.City != "" || a.PostalCode != "" || len(a.Line) > 0 {
		d.Addresses = []fhir.Address{a}
	}
	if r["source"] != "febrl1" {
		d.Identifiers = r.social()
	}
	for system, value := range map[string]string{"phone": r["phone"], "email": r["email"]} {
		if value != "" {
			d.Telecoms = append(d.Telecoms, fhir.ContactPoint{System: system, Value: value})
		}
	}
	return d
}

// isoDate writes the dates of the sets as FHIR does. Two digits of a year are the last ones before 2026.
func isoDate(s string) string {
	for _, layout := range []string{"2006-01-02", "1/2/06", "1/2/2006", "01-02-2006", "1-2-2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Year() > 2025 {
				t = t.AddDate(-100, 0, 0)
			}
			return t.Format(time.DateOnly)
		}
	}
	return ""
}

// card makes up the person's insurance card, which the sets have none of. It is the roster's in form 0; the others are how
// people copy one.
func (r record) card(id string, form int) fhir.Card {
	subscriber := "H" + strconv.FormatUint(100_000_000+number(id, 2)%900_000_000, 10)
	c := fhir.Card{SubscriberID: subscriber, Status: "active"}
	member := subscriber + "01"
	switch form {
	case 1:
		member = strings.ToLower(subscriber) + "-01"
	case 2:
		c.SubscriberID = ""
	case 3:
		c.SubscriberID = subscriber[:4] + " " + subscriber[4:]
	}
	kind := fhir.Concept(fhir.SystemIdentifierType, "MB", "")
	c.Identifiers = []fhir.Identifier{{Type: &kind, Value: member}}
	if r["source"] == "febrl1" { // its social security number stands for one of insurance
		c.Identifiers = append(c.Identifiers, r.social()...)
	}
	return c
}

func (r record) social() []fhir.Identifier {
	if r["ssn"] == "" {
		return nil
	}
	kind := fhir.Concept(fhir.SystemIdentifierType, "SS", "")
	return []fhir.Identifier{{Type: &kind, Value: r["ssn"]}}
}

func number(s string, salt byte) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s", salt, s)
	x := h.Sum64()
	return (x ^ x>>31) * 0x9e3779b97f4a7c15 >> 8
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

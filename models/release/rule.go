package release

import (
	"bytes"
	"slices"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Item is one of a member's resources, with what its line alone tells.
type Item struct {
	Type int16
	ID   string
	Line []byte
	// Sensitive: it has a label or a code that says so.
	Sensitive bool
	// Binary is what it was made to hold, as Binary/id: a reference to that leads to it.
	Binary string
	// Auth: it is a prior authorisation.
	Auth    bool
	Updated fhir.Day // meta.lastUpdated of the source, fhir.MinDay when it had none
	// Dated says that First and Last are its days of service.
	Dated       bool
	First, Last fhir.Day
}

// Ruling is what the rules make of an item.
type Ruling struct {
	Class models.Class // without the bits of views
	// First and Last are the days of service to keep with the line (see models.Class), if Dated.
	Dated       bool
	First, Last fhir.Day
	// Linked: it refers to what is sensitive and is not so itself. Mask makes the view without.
	Linked bool
}

// Member is the resources of one member, ruled together.
type Member struct {
	items   []Item
	rulings []Ruling
	named   map[string]int // the last item with an id, and with what a Binary is named
	before  []int          // the item with the same id before it, -1 for none
	refers  [][]int        // the items that refer to an item
	auths   map[int]Authorization
	shown   map[int]bool // made for a Binary that something other than a prior authorisation shows
}

// Rule judges the resources of a member in the light of each other: what is sensitive because of what it refers to, what
// belongs to a prior authorisation, and how far back a Provenance goes.
func Rule(items []Item) *Member {
	m := &Member{items: items, rulings: make([]Ruling, len(items)), named: make(map[string]int, len(items)), before: make([]int, len(items)), refers: make([][]int, len(items))}
	for i := range items {
		it := &items[i]
		m.before[i] = -1
		if same, ok := m.named[it.ID]; ok {
			m.before[i] = same
		}
		m.named[it.ID] = i
		if it.Binary != "" {
			m.named[it.Binary] = i
		}
		m.rulings[i] = Ruling{Dated: it.Dated, First: it.First, Last: it.Last}
	}
	for i := range items {
		for reference := range fhir.References(items[i].Line) {
			if t, ok := m.find(target(reference)); ok && t != i {
				m.refers[t] = append(m.refers[t], i)
			}
		}
	}
	m.findShown()
	m.ruleAuths()
	m.ruleSupport()
	m.ruleSensitive()
	m.ruleProvenance()
	return m
}

// find returns the item that a reference leads to, which Target wrote: Type/id, or the id alone of a urn:uuid.
func (m *Member) find(to []byte) (int, bool) {
	name, id, typed := bytes.Cut(to, slash)
	if !typed {
		i, ok := m.named[string(to)]
		return i, ok
	}
	if i, ok := m.named[string(to)]; ok { // a Binary
		return i, true
	}
	i, ok := m.named[string(id)]
	if !ok {
		return 0, false
	}
	typ, known := fhir.TypeCode(string(name))
	for known && i >= 0 && m.items[i].Type != typ {
		i = m.before[i]
	}
	return i, known && i >= 0
}

var slash = []byte("/")

// findShown notes what was made for Binaries that are attached elsewhere too.
func (m *Member) findShown() {
	made := slices.ContainsFunc(m.items, func(it Item) bool { return it.Binary != "" })
	if !made {
		return
	}
	m.shown = map[int]bool{}
	for i := range m.items {
		if m.items[i].Auth {
			continue
		}
		for _, a := range fhir.Attachments(m.items[i].Line) {
			if t, ok := m.named["Binary/"+a.Binary]; ok && t != i {
				m.shown[t] = true
			}
		}
	}
}

// Ruling returns what the rules make of an item, by its number.
func (m *Member) Ruling(i int) Ruling { return m.rulings[i] }

// Hidden reports whether a reference, as Target writes it, leads to something sensitive.
func (m *Member) Hidden(to string) bool {
	i, ok := m.find([]byte(to))
	return ok && m.sensitive(i)
}

func (m *Member) sensitive(i int) bool { return m.rulings[i].Class&models.ClassSensitive != 0 }

// ruleAuths settles until when prior authorisations may leave. A Claim and the ClaimResponses to it are one, and the newest response
// tells how it stands.
func (m *Member) ruleAuths() {
	m.auths = map[int]Authorization{}
	newest := map[int]int{} // response by claim
	for i := range m.items {
		it := &m.items[i]
		if !it.Auth {
			continue
		}
		a := Authorize(it.Line, it.Updated)
		m.auths[i] = a
		if claim, ok := m.find([]byte(a.Request)); ok && a.Request != "" {
			if last, ok := newest[claim]; !ok || m.later(i, last) {
				newest[claim] = i
			}
		}
	}
	for i, a := range m.auths {
		claim := i
		if a.Request != "" {
			to, ok := m.find([]byte(a.Request))
			if !ok {
				continue
			}
			claim = to
		}
		response, answered := newest[claim]
		if !answered {
			continue
		}
		pair := m.auths[response]
		pair.Supports, pair.Request = a.Supports, a.Request
		pair.Drug = m.auths[claim].Drug
		m.auths[i] = pair
	}
	for i, a := range m.auths {
		m.putAuth(i, a.Changed, a.Until, a.Drug)
	}
}

func (m *Member) later(a, b int) bool {
	if x, y := m.auths[a].Changed, m.auths[b].Changed; x != y {
		return x > y
	}
	return m.items[a].ID > m.items[b].ID
}

// putAuth makes an item leave as prior authorisations do.
func (m *Member) putAuth(i int, first, until fhir.Day, drug bool) {
	r := &m.rulings[i]
	r.Class |= models.ClassPriorAuth
	if drug {
		r.Class |= models.ClassDrug
	}
	r.Dated, r.First, r.Last = true, min(first, until), until
}

// ruleSupport settles what prior authorisations were supported by. A document or form to which nothing else refers, and that is
// not of a visit, belongs to them alone: it leaves with one of them or not at all. Anything else also leaves with them when
// it is too old to leave by itself.
func (m *Member) ruleSupport() {
	supports := map[int][]int{} // authorisations by what supports them
	for i, a := range m.auths {
		for _, to := range a.Supports {
			if t, ok := m.find([]byte(to)); ok && !m.items[t].Auth {
				supports[t] = append(supports[t], i)
			}
		}
	}
	for t := range m.items {
		if by := supports[t]; len(by) > 0 {
			m.support(t, by)
		}
	}
}

func (m *Member) support(t int, by []int) {
	until, drug := fhir.MinDay, true
	for _, i := range by {
		drug = drug && m.rulings[i].Class&models.ClassDrug != 0
		until = max(until, m.rulings[i].Last)
	}
	if m.belongs(t) {
		m.putAuth(t, m.items[t].First, until, drug)
		return
	}
	if r := &m.rulings[t]; r.Dated && !drug {
		r.Class |= models.ClassSupport
		r.First = until
	}
}

// belongs reports whether an item that supports prior authorisations belongs to them alone.
func (m *Member) belongs(t int) bool {
	switch m.items[t].Type {
	case fhir.TypeDocumentReference, fhir.TypeQuestionnaireResponse, fhir.TypeDocumentManifest, fhir.TypeMedia:
	default:
		return false
	}
	if m.shown[t] {
		return false
	}
	for _, from := range m.refers[t] {
		if !m.items[from].Auth && m.items[from].Type != fhir.TypeProvenance {
			return false
		}
	}
	visit := false
	links(m.items[t].Line, func(l link) { visit = visit || l.name == "encounter" })
	return !visit
}

// ruleSensitive spreads from what is sensitive by itself to what is sensitive because of it.
func (m *Member) ruleSensitive() {
	var queue []int
	mark := func(i int) {
		if !m.sensitive(i) {
			m.rulings[i].Class |= models.ClassSensitive
			queue = append(queue, i)
		}
	}
	for i := range m.items {
		if m.items[i].Sensitive {
			mark(i)
		}
	}
	var linked []int
	for len(queue) > 0 {
		t := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, from := range m.refers[t] {
			if m.sensitive(from) {
				continue
			}
			if m.spreads(from, t) {
				mark(from)
			} else {
				linked = append(linked, from)
			}
		}
		if hasParts(m.items[t].Type) {
			links(m.items[t].Line, func(l link) {
				if to, ok := m.find([]byte(l.to)); ok && part(m.items[t].Type, l) {
					mark(to)
				}
			})
		}
		// What a prior authorisation alone was supported by tells of it.
		for _, to := range m.auths[t].Supports {
			if d, ok := m.find([]byte(to)); ok && m.rulings[d].Class&models.ClassPriorAuth != 0 {
				mark(d)
			}
		}
	}
	for _, i := range linked {
		m.rulings[i].Linked = !m.sensitive(i)
	}
}

// spreads reports whether an item is sensitive because it refers to a sensitive one.
func (m *Member) spreads(from, to int) (yes bool) {
	typ := m.items[from].Type
	if !judged(typ) {
		return true
	}
	links(m.items[from].Line, func(l link) {
		if t, ok := m.find([]byte(l.to)); !ok || t != to || yes {
			return
		}
		switch relate(typ, l) {
		case depends:
			yes = true
		case setting:
			yes = m.items[to].Sensitive
		case mentions:
		}
	})
	return yes
}

// ruleProvenance has a Provenance leave with its targets: it is sensitive when all of them are, as old as the youngest, and
// leaves with a prior authorisation when it tells of nothing else.
func (m *Member) ruleProvenance() {
	for i := range m.items {
		if m.items[i].Type != fhir.TypeProvenance {
			continue
		}
		var of []int
		links(m.items[i].Line, func(l link) {
			if t, ok := m.find([]byte(l.to)); ok && l.top == "target" && m.items[t].Type != fhir.TypeProvenance {
				of = append(of, t)
			}
		})
		of = m.butPatient(of)
		if len(of) == 0 {
			continue
		}
		m.follow(i, of)
	}
}

// butPatient leaves out the Patient when there are other targets: it is named to say whose they are.
func (m *Member) butPatient(of []int) []int {
	var others []int
	for _, t := range of {
		if m.items[t].Type != fhir.TypePatient {
			others = append(others, t)
		}
	}
	if len(others) > 0 {
		return others
	}
	return of
}

func (m *Member) follow(i int, of []int) {
	r := &m.rulings[i]
	sensitive, drug, auth, other, undated := true, true, false, false, false
	until, last := fhir.MinDay, fhir.MinDay
	for _, t := range of {
		to := m.rulings[t]
		sensitive = sensitive && to.Class&models.ClassSensitive != 0
		if to.Class&models.ClassPriorAuth != 0 {
			auth = true
			drug = drug && to.Class&models.ClassDrug != 0
			until = max(until, to.Last)
			continue
		}
		other = true
		undated = undated || !to.Dated
		last = max(last, to.Last)
		if to.Class&models.ClassSupport != 0 {
			auth, drug = true, false
			until = max(until, to.First)
		}
	}
	if sensitive {
		r.Class |= models.ClassSensitive
		r.Linked = false
	}
	switch {
	case !other:
		m.putAuth(i, until, until, drug)
	case undated:
	default:
		r.Dated, r.First, r.Last = true, last, last
		if auth && !drug {
			r.Class |= models.ClassSupport
			r.First = until
		}
	}
}

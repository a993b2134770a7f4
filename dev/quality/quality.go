// Package quality measures how well members are found, and whether anybody is taken for somebody else: on labelled sets that
// were published, on the members that dev/seed invents with the errors that records have, and on families made to be mixed
// up. The rules by which other servers match, as described in their documents, run beside ours on the same people.
//
// Candidates are found by the same keys as in Postgres, in memory; a test of the package holds the two against each other.
package quality

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"pdexbulk/dev/seed"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// set is a roster and what is asked about it.
type set struct {
	name    string
	ids     []string
	people  []match.Person
	raws    []raw
	members map[string]int
	index   map[int64][]int32
	queries []query
	model   *match.Model
	// unflagged leaves out of every other member that they are a twin.
	unflagged bool
}

// query asks for one person.
type query struct {
	kind     string
	patient  fhir.Demographics
	card     fhir.Card
	truth    string // the id on the roster, "" when the person is absent
	optional bool   // not to be counted among those that must be found
}

func (s *set) enrol(id string, d fhir.Demographics, cards ...fhir.Card) {
	p := match.FromPatient(d)
	p.AddCards(cards)
	if s.unflagged && len(s.ids)%2 == 0 {
		p.Multiple, p.BirthOrder = false, 0 // few rosters say who is a twin
	}
	s.members[id] = len(s.ids)
	s.ids, s.people, s.raws = append(s.ids, id), append(s.people, p), append(s.raws, rawOf(&d, cards))
}

func (s *set) ask(q query) { s.queries = append(s.queries, q) }

// prepare indexes the roster and trains the matcher on it.
func (s *set) prepare() {
	s.index = map[int64][]int32{}
	for i := range s.people {
		for _, k := range s.people[i].Keys() {
			s.index[k] = append(s.index[k], int32(i))
		}
	}
	s.model = s.train()
	s.model.Today = int32(anchor.Unix() / 86400)
}

// trainOn is how many members are compared with those near them, to learn the weights, as by the worker.
const trainOn = 5000

func (s *set) train() *match.Model {
	var t match.Trainer
	for i := range s.people {
		t.Count(&s.people[i])
	}
	// Members who follow each other on the roster are of one family at times.
	order := rand.New(rand.NewPCG(1, 1)).Perm(len(s.people))
	for _, i := range order[:min(trainOn, len(order))] {
		p := &s.people[i]
		t.Stranger(p)
		for _, c := range s.candidates(p) {
			if indexOf(c.Member) != i {
				t.Near(p, &c.Person)
			}
		}
	}
	return t.Train()
}

func memberID(i int) uuid.UUID {
	return uuid.UUID{0: byte(i >> 24), 1: byte(i >> 16), 2: byte(i >> 8), 3: byte(i), 15: 1}
}

func indexOf(id uuid.UUID) int { return int(id[0])<<24 | int(id[1])<<16 | int(id[2])<<8 | int(id[3]) }

// candidates finds members by key.
func (s *set) candidates(p *match.Person) []match.Candidate {
	seen := map[int32]bool{}
	var out []match.Candidate
	for _, k := range p.Keys() {
		hits := s.index[k]
		if len(hits) > store.MaxCrowd {
			continue
		}
		for _, i := range hits {
			if !seen[i] {
				seen[i] = true
				out = append(out, match.Candidate{Member: memberID(int(i)), Person: s.people[i]})
			}
		}
	}
	return out
}

// score counts answers.
type score struct {
	asked, present, found, wrong, apart int

	missed map[match.Reason]int // those present and not found, by what was against them
	// relatives are those missed of whom the record of a relative who is no member would say the same: a twin's, or that of
	// somebody of the family who shows the member's card. The given name is another or missing. Who finds them finds relatives.
	relatives int
}

func (a *score) add(b score) {
	a.asked += b.asked
	a.present += b.present
	a.found += b.found
	a.wrong += b.wrong
	a.apart += b.apart
	a.relatives += b.relatives
	for reason, n := range b.missed {
		if a.missed == nil {
			a.missed = map[match.Reason]int{}
		}
		a.missed[reason] += n
	}
}

func (a score) recall() float64 {
	if a.present == 0 {
		return 1
	}
	return float64(a.found) / float64(a.present)
}

// reachable is the recall of finding all but those relatives.
func (a score) reachable() float64 {
	if a.present == 0 {
		return 1
	}
	return 1 - float64(a.relatives)/float64(a.present)
}

func (a score) precision() float64 {
	if a.found+a.wrong == 0 {
		return 1
	}
	return float64(a.found) / float64(a.found+a.wrong)
}

func (a score) f1() float64 {
	p, r := a.precision(), a.recall()
	if p+r == 0 {
		return 0
	}
	return 2 * p * r / (p + r)
}

// judge counts one answer: the index of a member, or -1.
func (s *set) judge(q *query, answer int) score {
	sc := score{asked: 1}
	right := q.truth != "" && answer >= 0 && s.ids[answer] == q.truth
	if q.optional {
		switch {
		case right:
			sc.apart = 1
		case answer >= 0:
			sc.wrong = 1
		}
		return sc
	}
	if q.truth != "" {
		sc.present = 1
	}
	switch {
	case right:
		sc.found = 1
	case answer >= 0:
		sc.wrong = 1
	}
	return sc
}

// The kinds of queries that lack what HRex Patient Demographics requires (D-05): nobody has to be found for them, and they are
// counted apart.
const (
	noBirthDate = "no birth date (D-05)"
	noName      = "no family name (D-05)"
	noGivenName = "no given name (D-05)"
)

// lacking returns the kind of a query that lacks what is required, "" when it lacks nothing.
func lacking(d *fhir.Demographics, p *match.Person) string {
	switch {
	case p.BirthDate == nil:
		return noBirthDate
	case len(p.Families) == 0:
		return noName
	case !slices.ContainsFunc(d.Names, func(n fhir.HumanName) bool { return len(n.Given) > 0 }):
		return noGivenName
	}
	return ""
}

// run asks everything, with the card or without, on all processors, and returns the scores by kind.
func (s *set) run(withCard bool) map[string]score {
	parts := make([]map[string]score, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for n := range parts {
		wg.Go(func() {
			parts[n] = map[string]score{}
			for i := n; i < len(s.queries); i += len(parts) {
				kind, sc := s.answer(&s.queries[i], withCard)
				addTo(parts[n], kind, sc)
			}
		})
	}
	wg.Wait()
	return sum(parts...)
}

// answer asks one query, and returns its kind and how it was answered.
func (s *set) answer(q *query, withCard bool) (string, score) {
	p := match.FromPatient(q.patient)
	if withCard {
		p.AddCards([]fhir.Card{q.card})
	}
	kind, asked := q.kind, *q
	if lack := lacking(&q.patient, &p); lack != "" && !s.unflagged {
		kind, asked.optional = lack, true
	}
	answer := -1
	d := s.model.Decide(p, s.candidates(&p))
	if d.Matched {
		answer = indexOf(d.Member)
	}
	sc := s.judge(&asked, answer)
	if sc.present > sc.found+sc.wrong {
		sc.missed = map[match.Reason]int{d.Reason: 1}
		if v := d.Best; v != nil && s.ids[indexOf(v.Member)] == q.truth && mayBeARelative(v) {
			sc.relatives = 1
		}
	}
	return kind, sc
}

// mayBeARelative says whether what is known of a person fits a relative of the member just as well.
func mayBeARelative(v *match.Verdict) bool {
	level := func(f match.Field) match.Level { return v.Fields[f].Level }
	switch {
	case level(match.Given) != match.Conflict && level(match.Given) != match.Missing, level(match.Family) == match.Conflict, level(match.National) == match.Exact:
		return false
	case level(match.MemberID) == match.Exact:
		return true
	}
	return level(match.Birth) == match.Exact && level(match.Family) != match.Missing
}

func addTo(by map[string]score, kind string, sc score) {
	have := by[kind]
	have.add(sc)
	by[kind] = have
}

// sum adds scores up, kind by kind.
func sum(tables ...map[string]score) map[string]score {
	out := map[string]score{}
	for _, by := range tables {
		for kind, sc := range by {
			addTo(out, kind, sc)
		}
	}
	return out
}

func total(by map[string]score) score {
	var all score
	for _, sc := range by {
		all.add(sc)
	}
	return all
}

func printTable(w io.Writer, title string, by map[string]score) {
	fmt.Fprintf(w, "%-34s %8s %8s %6s %9s %9s %7s %9s\n", title, "asked", "present", "wrong", "precision", "recall", "F1", "apart")
	for _, kind := range sortedKeys(by) {
		printScore(w, "  "+kind, by[kind])
	}
	all := total(by)
	printScore(w, "  all", all)
	if len(all.missed) == 0 {
		return
	}
	fmt.Fprint(w, "  missed:")
	for _, reason := range sortedKeys(all.missed) {
		fmt.Fprintf(w, " %s=%d", reason, all.missed[reason])
	}
	fmt.Fprintf(w, "; as a relative's record would say: %d, without whom recall is %.4f at most\n", all.relatives, all.reachable())
}

func printScore(w io.Writer, name string, sc score) {
	fmt.Fprintf(w, "%-34s %8d %8d %6d %9.4f %9.4f %7.4f %9s\n", strings.TrimRight(name, " "), sc.asked, sc.present, sc.wrong, sc.precision(), sc.recall(), sc.f1(), apart(sc))
}

func apart(sc score) string {
	if sc.apart == 0 {
		return ""
	}
	return fmt.Sprint(sc.apart)
}

// Options say what to measure.
type Options struct {
	// Data is the folder of the published sets; they are left out where it does not exist.
	Data string
	// Members are on the roster of each seeded set; 0 means 60,000. Queries are asked of it; 0 means 60,000, and 100,000 of the
	// families that are made to be mixed up.
	Members, Queries int
	// Families is how many rosters of such families are made; 0 means 10.
	Families int
	Out      io.Writer
}

// Run measures everything and prints a table for each set, the rivals' below ours. The last line is
//
//	match-quality: wrong=<disclosures> recall-card=<fraction> recall-nocard=<fraction> queries=<asked>
//
// over all sets. It reports whether nobody was taken for somebody else. Of the families made to be mixed up only wrong answers
// count: most of what is asked about them is made so that nobody could tell.
func Run(o Options) (bool, error) {
	hardQueries := cmp.Or(o.Queries, 100_000)
	o.Members, o.Queries, o.Families = cmp.Or(o.Members, 60_000), cmp.Or(o.Queries, 60_000), cmp.Or(o.Families, 10)
	sets, err := published(o.Data)
	if err != nil {
		return false, err
	}
	if len(sets) == 0 {
		fmt.Fprintln(o.Out, "the published sets are not there, so they are left out")
	}
	var card, noCard score
	for _, s := range sets {
		with, without := s.measure(o.Out)
		card.add(with)
		noCard.add(without)
	}
	if len(sets) > 0 {
		fmt.Fprintf(o.Out, "of the published sets alone: recall-card=%.4f recall-nocard=%.4f, of %.4f and %.4f without answering relatives\n\n",
			card.recall(), noCard.recall(), card.reachable(), noCard.reachable())
	}
	s, err := seeded("seeds", seed.Options{Seed: 11, Members: o.Members}, seed.TrialOptions{Seed: 3, Queries: o.Queries})
	if err != nil {
		return false, err
	}
	with, without := s.measure(o.Out)
	card.add(with)
	noCard.add(without)
	hard, err := measureFamilies(o, hardQueries)
	if err != nil {
		return false, err
	}
	wrong := card.wrong + noCard.wrong + hard.wrong
	fmt.Fprintf(o.Out, "match-quality: wrong=%d recall-card=%.4f recall-nocard=%.4f queries=%d\n", wrong, card.recall(), noCard.recall(), card.asked+noCard.asked+hard.asked)
	return wrong == 0, nil
}

// measure asks everything with the card and without, and prints a table of each.
func (s *set) measure(w io.Writer) (card, noCard score) {
	s.prepare()
	for _, withCard := range []bool{true, false} {
		by := s.run(withCard)
		all, title := &card, s.name+", with card"
		if !withCard {
			all, title = &noCard, s.name+", no card"
		}
		*all = total(by)
		printTable(w, title, by)
		for _, r := range rivals {
			printScore(w, "  rule of "+r.name, s.runRival(r, withCard))
		}
		fmt.Fprintln(w)
	}
	return card, noCard
}

// measureFamilies asks about families that are made to be mixed up, on one roster after the other, and prints one table. Some
// queries have no card as it is, so nothing is asked twice.
func measureFamilies(o Options, queries int) (score, error) {
	var tables []map[string]score
	beaten := make([]score, len(rivals))
	for i := range uint64(o.Families) {
		s, err := seeded("families", seed.Options{Seed: 11 + i, Members: o.Members}, seed.TrialOptions{Seed: 4 + i, Queries: queries, Hard: true})
		if err != nil {
			return score{}, err
		}
		s.prepare()
		tables = append(tables, s.run(true))
		for n, r := range rivals {
			beaten[n].add(s.runRival(r, true))
		}
	}
	by := sum(tables...)
	printTable(o.Out, fmt.Sprintf("families, half absent, %d rosters", o.Families), by)
	for n, r := range rivals {
		printScore(o.Out, "  rule of "+r.name, beaten[n])
	}
	fmt.Fprintln(o.Out)
	return total(by), nil
}

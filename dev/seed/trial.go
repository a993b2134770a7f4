package seed

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// TrialOptions say what a trial of a matcher asks. Together with Options they determine every byte.
type TrialOptions struct {
	Seed uint64
	// Queries is how many people are asked about, at least 1.
	Queries int
	// Hard asks about families that are easily mixed up, half of whose people are not on the roster, and with as little as
	// their relatives share. Otherwise the people asked about are members, described with the errors that records have, and
	// one in ten a stranger.
	Hard bool
}

// TrialMember is a member of the roster of a trial: the Patient, and the Coverages one a line.
type TrialMember struct {
	ID                 string
	Patient, Coverages []byte
}

// TrialQuery asks for one person. Truth is the member's Patient id, "" for somebody who is not on the roster. The slices are
// good until the next call.
type TrialQuery struct {
	Kind              string
	Truth             string
	Patient, Coverage []byte
}

// Trial streams the roster of o to enrol, and then queries about it to ask. enrol may be nil. The roster of a hard trial has
// Options.Members people of whom every other is left out.
func Trial(o Options, to TrialOptions, enrol func(TrialMember) error, ask func(TrialQuery) error) error {
	if err := o.validate(); err != nil {
		return err
	}
	if to.Queries < 0 {
		return fmt.Errorf("trial: queries must not be negative")
	}
	t := &trial{world: o.world(), to: to, ends: o.roster()}
	if enrol != nil {
		if err := t.enrol(enrol); err != nil {
			return err
		}
	}
	return t.ask(ask)
}

type trial struct {
	world
	to   TrialOptions
	ends roster
}

// household returns family k with who is absent from the roster of the trial. The unnamed twins of hard trials stay: nothing
// must be answered about them.
func (t *trial) household(k uint64) *household {
	h := t.ends.household(t.world, k)
	if t.to.Hard {
		for i := range h.people {
			p := &h.people[i]
			p.absent = p.absent || mix(p.key^mix(t.to.Seed))%2 == 0
		}
	}
	return h
}

func (t *trial) enrol(fn func(TrialMember) error) error {
	b := new(block)
	e := emitter{world: t.world, out: b, cutoff: t.anchor.addYears(-LookbackYears)}
	for k := range t.ends.families {
		h := t.household(k)
		for i := range h.people {
			p := &h.people[i]
			if p.absent {
				continue
			}
			b.reset()
			e.household, e.p = h, p
			e.r = newRNG(e.seed, domainMember, p.key)
			e.tally = tally{}
			e.begun = max(p.born, e.clear(e.anchor.addYears(-8)-day(e.r.n(200))))
			e.patient()
			e.coverages()
			if err := fn(TrialMember{ID: p.id(Patient, 0), Patient: bytes.TrimSpace(b.lines[Patient]), Coverages: b.lines[Coverage]}); err != nil {
				return err
			}
		}
	}
	return nil
}

// trick is a way to ask for somebody. It reports whether it could be used on them.
type trick struct {
	kind  string
	apply func(r *rng, h *household, p *person, s *submission) bool
}

// tricks ask with what relatives have in common, and a little less than what tells them apart.
var tricks = []trick{
	{"own member id", func(*rng, *household, *person, *submission) bool { return true }},
	{"family's id", onFamily},
	{"family's id as member id", func(_ *rng, h *household, _ *person, s *submission) bool {
		s.memberID, s.subscriberID = h.subscriberID, h.subscriberID
		return true
	}},
	{"family's id, no given name", func(r *rng, h *household, p *person, s *submission) bool {
		s.given, s.middle = "", ""
		return onFamily(r, h, p, s)
	}},
	{"family's id, initial", func(r *rng, h *household, p *person, s *submission) bool {
		s.given, s.middle = firstLetter(s.given), ""
		return onFamily(r, h, p, s)
	}},
	{"family's id, unnamed newborn", func(r *rng, h *household, p *person, s *submission) bool {
		s.given, s.middle = "Baby Boy", ""
		if s.female {
			s.given = "Baby Girl"
		}
		return p.role == isChild && onFamily(r, h, p, s)
	}},
	{"family's id, no suffix", func(r *rng, h *household, p *person, s *submission) bool {
		had := s.suffix != ""
		s.suffix, s.middle = "", ""
		return had && onFamily(r, h, p, s)
	}},
	{"family's id, typo in given name", func(r *rng, h *household, p *person, s *submission) bool {
		given, ok := typo(r, s.given)
		s.given = given
		return ok && onFamily(r, h, p, s)
	}},
	{"family's id, nickname", func(r *rng, h *household, p *person, s *submission) bool {
		return distortNickname(r, s) && onFamily(r, h, p, s)
	}},
	{"family's id, wrong day of birth", func(r *rng, h *household, p *person, s *submission) bool {
		return distortDay(r, s) && onFamily(r, h, p, s)
	}},
	{"family's id, names exchanged", func(r *rng, h *household, p *person, s *submission) bool {
		s.given, s.family = s.family, s.given
		return onFamily(r, h, p, s)
	}},
	{"family's id, no gender", func(r *rng, h *household, p *person, s *submission) bool {
		s.gendered, s.middle = false, ""
		return onFamily(r, h, p, s)
	}},
	{"no card", func(_ *rng, _ *household, _ *person, s *submission) bool {
		s.memberID, s.subscriberID, s.group = "", "", ""
		return true
	}},
	{"no card, no given name", func(_ *rng, _ *household, _ *person, s *submission) bool {
		s.memberID, s.subscriberID, s.group, s.given, s.middle = "", "", "", "", ""
		return true
	}},
	{"the id of another in the family", func(r *rng, h *household, p *person, s *submission) bool {
		o := &h.people[r.n(len(h.people))]
		s.memberID = h.memberID(o)
		// What is asked about one unnamed twin with the number of the other is what would be asked about the other.
		return o != p && !(o.newborn && p.newborn && o.female == p.female)
	}},
}

func onFamily(_ *rng, _ *household, _ *person, s *submission) bool {
	s.memberID = ""
	return true
}

// slipsOfTrial are the errors of everyday records, after the categories of the ONC patient matching challenge.
var slipsOfTrial = []trick{
	{"exact", func(*rng, *household, *person, *submission) bool { return true }},
	{"typo in family name", func(r *rng, _ *household, _ *person, s *submission) (ok bool) {
		s.family, ok = typo(r, s.family)
		return ok
	}},
	{"typo in given name", func(r *rng, _ *household, _ *person, s *submission) (ok bool) {
		s.given, ok = typo(r, s.given)
		return ok
	}},
	{"nickname", simple(distortNickname)},
	{"names exchanged", func(_ *rng, _ *household, _ *person, s *submission) bool {
		s.given, s.family = s.family, s.given
		return s.given != s.family
	}},
	{"given and middle exchanged", func(_ *rng, _ *household, _ *person, s *submission) bool {
		s.given, s.middle = s.middle, s.given
		return len(s.given) > 2
	}},
	{"changed surname", simple(distortSurname)},
	{"moved", func(r *rng, _ *household, _ *person, s *submission) bool {
		phone := s.phone
		distortMoved(r, s)
		s.phone = phone
		return true
	}},
	{"another telephone", func(r *rng, h *household, _ *person, s *submission) bool {
		s.phone = phoneNumber(r, h.metro.area)
		return true
	}},
	{"another e-mail", func(_ *rng, _ *household, _ *person, s *submission) bool {
		had := s.email != ""
		s.email = "x" + asciiLetters(s.family) + "@mail.example.net"
		return had
	}},
	{"no address", func(_ *rng, _ *household, _ *person, s *submission) bool {
		s.address = nil
		return true
	}},
	{"no telephone, no e-mail", func(_ *rng, _ *household, _ *person, s *submission) bool {
		s.phone, s.email = "", ""
		return true
	}},
	{"no middle name, no gender", func(_ *rng, _ *household, _ *person, s *submission) bool {
		had := s.middle != ""
		s.middle, s.gendered = "", false
		return had
	}},
	{"diacritics", simple(distortDiacritics)},
	{"punctuation", simple(distortPunctuation)},
	{"half of a double name", func(_ *rng, _ *household, _ *person, s *submission) bool {
		i := strings.LastIndexAny(s.family, " -")
		if i < 4 {
			return false
		}
		s.family = s.family[:i]
		return true
	}},
	{"day and month exchanged", func(_ *rng, _ *household, _ *person, s *submission) bool {
		y, m, d := s.born.date()
		if d > 12 || d == m {
			return false
		}
		s.born = newDay(y, d, m)
		return true
	}},
	{"wrong digit in birth date", simple(distortDay)},
	{"placeholders", func(_ *rng, _ *household, _ *person, s *submission) bool {
		s.phone, s.email, s.middle = "000-000-0000", "none@none.com", "NMN"
		return true
	}},
	{"hyphens in ids", simple(distortIDHyphen)},
	{"zeros of ids", simple(distortIDZeros)},
	{"address typed anew", func(r *rng, _ *household, _ *person, s *submission) bool {
		if s.address == nil {
			return false
		}
		a := *s.address
		line, ok := typo(r, a.line)
		a.line, a.unit = strings.ToUpper(line), ""
		s.address = &a
		return ok
	}},
}

func simple(fn func(*rng, *submission) bool) func(*rng, *household, *person, *submission) bool {
	return func(r *rng, _ *household, _ *person, s *submission) bool { return fn(r, s) }
}

// distortDay gets the last digit of the day of birth wrong.
func distortDay(r *rng, s *submission) bool {
	y, m, d := s.born.date()
	next := d/10*10 + (d%10+1+r.n(8))%10
	if next < 1 || next > 28 || next == d {
		return false
	}
	s.born = newDay(y, m, next)
	return true
}

func newDay(y, m, d int) day { return dayOf(time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)) }

func (t *trial) ask(fn func(TrialQuery) error) error {
	r := newRNG(t.seed, domainTrial, t.to.Seed)
	strangers := strangerFamilies + mix(t.to.Seed)%100_000_000
	for n := 0; n < t.to.Queries; {
		e := entry{identity: identity{seed: mix(t.seed ^ mix(t.to.Seed)), key: uint64(n)}}
		e.r = newRNG(e.seed, domainTrial, uint64(n)+1)
		q := TrialQuery{}
		if !t.to.Hard && r.chance(100) {
			h := t.world.household(strangers)
			strangers++
			p := &h.people[r.n(len(h.people))]
			e.said, q.Kind = submissionOf(h, p), "stranger"
		} else {
			h := t.household(uint64(r.n(int(t.ends.families))))
			s := &h.shape
			if t.to.Hard && len(h.people) < 2 || t.to.Hard && s.twin == 0 && !s.newborn && !s.junior && r.chance(600) {
				continue
			}
			p := &h.people[r.n(len(h.people))]
			if !t.to.Hard && p.absent {
				continue
			}
			e.said = submissionOf(h, p)
			if e.said.phone == "" && !r.chance(200) {
				e.said.phone = h.phone
			}
			if !p.absent {
				q.Truth = p.id(Patient, 0)
			}
			list := slipsOfTrial
			if t.to.Hard {
				list = tricks
			}
			pick := list[r.n(len(list))]
			if !t.to.Hard && r.chance(300) {
				pick = list[0]
			}
			if !pick.apply(&e.r, h, p, &e.said) {
				continue
			}
			q.Kind = pick.kind
			if !t.to.Hard && pick.kind != "exact" && r.chance(150) {
				if second := list[1+r.n(len(list)-1)]; second.apply(&e.r, h, p, &e.said) {
					q.Kind = "two errors"
				}
			}
			if t.to.Hard {
				if twice := e.said; r.chance(250) && tricks[r.n(len(tricks))].apply(&e.r, h, p, &twice) {
					e.said, q.Kind = twice, "two tricks"
				}
				if takenFor(h, p, &e.said) {
					continue
				}
				q.Kind = hardKind(p) + ": " + q.Kind
			}
			if !standsOut(h, p) {
				q.Kind = "one of two unnamed twins"
			}
		}
		n++
		q.Patient, q.Coverage = e.alone(func(w *jsonWriter) { e.patientResource(w) }), e.alone(func(w *jsonWriter) { e.coverageToMatch(w, t.anchor) })
		if err := fn(q); err != nil {
			return err
		}
	}
	return nil
}

// takenFor reports whether what is said of a person without a number of their own is what somebody else of the household is
// called, as when Lawrence goes by Larry and his twin is Larry: then it is the other who is asked for.
func takenFor(h *household, p *person, s *submission) bool {
	if s.memberID == h.memberID(p) {
		return false
	}
	for i := range h.people {
		o := &h.people[i]
		if o != p && o.given != p.given && o.isCalled(s.born, s.given, s.family) {
			return true
		}
	}
	return false
}

// hardKind says whether the person is there and what makes them easy to mistake.
func hardKind(p *person) string {
	who := "relative"
	switch {
	case p.newborn:
		who = "newborn"
	case p.twin:
		who = "twin"
	case p.suffix != "":
		who = "namesake"
	}
	if p.absent {
		return "absent " + who
	}
	return "present " + who
}

// alone returns a part of a MemberBundle as a resource of its own.
func (e *entry) alone(write func(*jsonWriter)) []byte {
	w := &jsonWriter{}
	w.obj("")
	write(w)
	w.end()
	return bytes.TrimSuffix(bytes.TrimPrefix(w.b, []byte(`{"resource":`)), []byte("}"))
}

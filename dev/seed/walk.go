package seed

// walk goes through the people of all families of a roster, families in an order of its own, keeping those that pass.
// Each family is made again when the walk gets there, so a walk holds one household in memory.
type walk struct {
	world
	ends         roster
	stride, from uint64
	steps        uint64
	pass         func(h *household, p *person) bool
	family       *household
	next         int
}

func newWalk(w world, ends roster, key uint64, pass func(h *household, p *person) bool) *walk {
	r := newRNG(w.seed, domainWalk, key)
	s := &walk{world: w, ends: ends, from: r.pcg.Uint64() % ends.families, pass: pass}
	for s.stride = r.pcg.Uint64()%ends.families + 1; gcd(s.stride, ends.families) != 1; s.stride++ {
	}
	return s
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// person returns the next person, and nil when there are no more.
func (s *walk) person() (*household, *person) {
	for {
		for s.family != nil && s.next < len(s.family.people) {
			p := &s.family.people[s.next]
			s.next++
			if s.pass(s.family, p) {
				return s.family, p
			}
		}
		if s.steps == s.ends.families {
			return nil, nil
		}
		k := (s.from + s.steps%s.ends.families*s.stride) % s.ends.families
		s.family, s.next = s.ends.household(s.world, k), 0
		s.steps++
	}
}

// The filters of walks.

func isPresent(h *household, p *person) bool { return !p.absent && standsOut(h, p) }

// isPresentNamed leaves out newborns without a name, whom nothing but a number tells from a twin.
func isPresentNamed(h *household, p *person) bool { return isPresent(h, p) && !p.newborn }

func isAbsentTwin(h *household, p *person) bool { return p.absent && p.twin && standsOut(h, p) }

func isAbsentRelative(h *household, p *person) bool { return p.absent && !p.twin && standsOut(h, p) }

// standsOut reports whether nobody else of the household has the person's name and birth date, as unnamed newborn twins
// do: of those, nobody could say which is meant.
func standsOut(h *household, p *person) bool {
	for i := range h.people {
		o := &h.people[i]
		if o != p && o.isCalled(p.born, p.given, p.family) {
			return false
		}
	}
	return true
}

// isCalled reports whether somebody was born on a day and has a name, however it is written.
func (p *person) isCalled(born day, given, family string) bool {
	return p.born == born && plain(p.given) == plain(given) && plain(p.family) == plain(family)
}

// strangerFamilies is where the numbers of families begin that no roster reaches: their people are unknown to the payer,
// and their subscriber ids are nobody else's.
const strangerFamilies = 600_000_000

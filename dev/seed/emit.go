package seed

// block is the output of a run of families: the lines of each type, and the truth about the members.
type block struct {
	lines   [typeCount][]byte
	counts  [typeCount]int
	truth   []byte
	members int
}

func (b *block) reset() {
	for i := range b.lines {
		b.lines[i] = b.lines[i][:0]
	}
	b.counts = [typeCount]int{}
	b.truth, b.members = b.truth[:0], 0
}

// about says what matters of a resource beyond its content.
type about struct {
	on      day    // date of service; 0 for a resource without one
	known   day    // when an undated resource became known
	label   string // sensitivity code, "" for none
	auth    authKind
	ongoing bool // it began on the date of service and still holds
}

// emitter writes one member at a time into a block.
type emitter struct {
	world
	*household
	p      *person
	m      *market
	r      rng
	out    *block
	w      jsonWriter
	tally  tally
	ids    [typeCount][]string
	keep   bool // keep ids for the truth
	cutoff day  // services before it count as older
	begun  day  // first day of the member's history

	current, previous string // ids of the Coverages
	switched          day    // first day of the current Coverage
}

// begin opens a resource and returns its id. Lines end with finish.
func (e *emitter) begin(t Type, profile string, a about) string {
	id := e.p.id(t, e.tally.counts[t])
	e.tally.add(t, a, e.cutoff)
	if e.keep {
		e.ids[t] = append(e.ids[t], id)
	}
	e.w.b = e.out.lines[t]
	service := a.on
	if service == 0 {
		service = a.known
	}
	e.head(t, id, profile, e.recorded(service), a.label)
	return id
}

// head writes what every resource starts with.
func (e *emitter) head(t Type, id, profile string, updated moment, label string) {
	w := &e.w
	w.obj("")
	w.str("resourceType", typeNames[t])
	w.str("id", id)
	w.obj("meta")
	w.instant("lastUpdated", updated, e.r.n(1000))
	w.strs("profile", profile)
	switch {
	case label != "":
		w.arr("security")
		w.coding("", code{sysActCode, label, ""})
		w.coding("", code{sysConfidential, "R", "restricted"})
		w.endArr()
	case e.r.chance(30):
		w.arr("security")
		w.coding("", code{sysConfidential, "N", "normal"})
		w.endArr()
	}
	w.end()
}

func (e *emitter) finish(t Type) {
	e.w.end()
	e.out.lines[t] = append(e.w.b, '\n')
	e.out.counts[t]++
}

// recorded is when a fact of the given day reached the payer: up to six weeks later, never after the anchor.
func (e *emitter) recorded(d day) moment {
	at := min(d+day(e.r.between(1, 42)), e.anchor-1)
	return max(d, at).at(e.r.n(24), e.r.n(60), 0) + moment(e.r.n(60))
}

// clear moves a day out of the 45 days around the five-year limit, so that the truth about what is older stays true while
// a server runs a few weeks after the anchor. It never goes before the member's birth.
func (e *emitter) clear(d day) day {
	if d <= e.cutoff-45 || d >= e.cutoff+45 {
		return d
	}
	if d-91 < e.p.born {
		return e.cutoff + 45
	}
	return d - 91
}

// pastDay returns a day on which something may have happened to the member: four in five within the last five years.
func (e *emitter) pastDay() day {
	last := e.anchor - 2
	if e.p.died != 0 {
		last = e.p.died
	}
	from := e.begun
	if e.cutoff > from && e.cutoff < last && e.r.chance(800) {
		from = e.cutoff
	}
	d := from + day(e.r.n(max(1, int(last-from))))
	return e.clear(d)
}

// ended returns the last day something can happen to the member.
func (e *emitter) ended() day {
	if e.p.died != 0 {
		return e.p.died
	}
	return e.anchor - 1
}

// scaled applies the density to a number of things, rounding by chance so that the mean holds.
func (e *emitter) scaled(n int) int {
	total := n * e.density
	return total/100 + bit(e.r.n(100) < total%100)
}

func (e *emitter) subject(key string) { e.w.ref(key, Patient, e.p.id(Patient, 0), "") }

func (e *emitter) age(at day) int { return e.p.born.years(at) }

// member writes everything about a person who is on the roster.
func (e *emitter) member(h *household, p *person, m *market) {
	e.household, e.p, e.m = h, p, m
	e.r = newRNG(e.seed, domainMember, p.key)
	e.tally = tally{}
	for t := range e.ids {
		e.ids[t] = e.ids[t][:0]
	}
	e.begun = max(p.born, e.clear(e.anchor.addYears(-8)-day(e.r.n(200))))
	e.patient()
	e.coverages()
	e.history()
	e.undated()
	e.priorAuths()
	e.provenance()
	e.out.members++
	e.appendTruth()
}

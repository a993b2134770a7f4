package seed

import (
	"slices"
	"strconv"
	"strings"
)

// A household is a subscriber and the people covered through them. They share the subscriber id, the address and often
// the surname, which is what makes telling them apart hard.
type household struct {
	index        uint64
	shape        shape
	subscriberID string
	group        string // group number
	employer     string
	plan         *plan
	tier         int // deductible and copay step of the plan
	metro        *metro
	address      address
	oldAddress   *address // where they lived before, if on file
	phone        string
	people       []person
}

type relationship uint8

const (
	isSelf relationship = iota
	isSpouse
	isChild
)

var relationshipCodes = [...]string{"self", "spouse", "child"}

type person struct {
	identity
	n       int // place in the household, and the suffix of the member id
	role    relationship
	culture *culture
	family  string
	maiden  string
	given   string
	middle  string
	suffix  string
	nick    string
	female  bool
	born    day
	died    day // 0 while alive
	phone   string
	email   string
	ssn     string
	mbi     string
	twin    bool
	newborn bool
	absent  bool
}

type address struct {
	line, unit, town, state, zip string
	from, to                     day
}

// gender returns the administrative gender.
func (p *person) gender() string {
	if p.female {
		return "female"
	}
	return "male"
}

// memberID is the subscriber id followed by a two-digit suffix, as printed on the card.
func (h *household) memberID(p *person) string {
	return h.subscriberID + string([]byte{'0' + byte(p.n/10), '0' + byte(p.n%10)})
}

// number counts people across households.
func (h *household) number(p *person) uint64 { return h.index*maxPeople + uint64(p.n) }

// maxPeople is more than any household has.
const maxPeople = 8

// shape is the make-up of a family. It is drawn from a stream of its own, so that counting a roster need not build names.
type shape struct {
	adults, kids int
	senior       bool
	twin         int // place of the second twin, 0 for none
	newborn      bool
	junior       bool // the first child carries the subscriber's name
	absent       int  // place of the person the roster leaves out, 0 for none
}

func (s shape) people() int { return s.adults + s.kids }

func shapeOf(seed, k uint64) shape {
	r := newRNG(seed, domainShape, k)
	var s shape
	switch d := r.n(100); {
	case d < 16:
		s = shape{adults: 1, senior: true}
	case d < 32:
		s = shape{adults: 1}
	case d < 40:
		s = shape{adults: 2, senior: true}
	case d < 51:
		s = shape{adults: 2}
	case d < 86:
		s = shape{adults: 2, kids: 1 + min(r.n(4), r.n(5))}
	default:
		s = shape{adults: 1, kids: 1 + min(r.n(3), r.n(4))}
	}
	if s.kids > 0 {
		s.newborn = r.chance(60)
		if r.chance(120) {
			s.kids = max(s.kids, 2)
			s.twin = s.adults + s.kids - 1
		}
		births := s.kids - bit(s.twin > 0)
		s.junior = (births > 1 || !s.newborn) && r.chance(110)
	}
	switch {
	case s.twin > 0 && r.chance(330):
		s.absent = s.twin - r.n(2)
	case s.people() > 1 && r.chance(80):
		s.absent = r.between(1, s.people()-1)
	}
	return s
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// household makes family k. Numbers of families beyond any roster serve as strangers.
func (w world) household(k uint64) *household {
	r := newRNG(w.seed, domainHousehold, k)
	h := &household{index: k, shape: shapeOf(w.seed, k)}
	h.metro = marketMetro(w.seed, k/marketFamilies)
	h.address = h.newAddress(&r)
	h.address.from = w.anchor - day(r.between(200, 4000))
	if r.chance(160) {
		old := h.newAddress(&r)
		old.to, old.from = h.address.from-1, h.address.from-day(r.between(400, 3000))
		h.oldAddress = &old
	}
	h.phone = phoneNumber(&r, h.metro.area)
	h.plan, h.tier = choosePlan(&r, h.shape), r.n(4)
	h.group = "G" + string(appendPadded(nil, int(mix(w.seed+k/marketFamilies*32+uint64(r.n(24)))%1_000_000), 6))
	h.employer = lean(&r, cultures[0].surnames) + " " + pick(&r, employers)
	h.subscriberID = subscriberID(w.seed, k, h.plan)
	h.people = make([]person, 0, h.shape.people())
	h.addAdults(w, &r)
	h.addKids(w, &r)
	for i := range h.people {
		h.finish(w, &r, &h.people[i])
	}
	return h
}

// subscriberID is unique for every family number below 10^9: an affine permutation of the nine-digit numbers, of which a
// tenth start with a zero.
func subscriberID(seed, k uint64, p *plan) string {
	const size, stride = 1_000_000_000, 387_420_489 // 3^18: no common factor with 10^9
	n := (k%size*stride + mix(seed)%size) % size
	return p.prefix + string(appendPadded(nil, int(n), 9))
}

func (h *household) newAddress(r *rng) address {
	a := address{town: lean(r, h.metro.towns), state: h.metro.state}
	a.line = strconv.Itoa(r.between(1, 9899)) + " " + pick(r, streets) + " " + lean(r, streetTypes)
	switch r.n(10) {
	case 0, 1:
		a.unit = "Apt " + strconv.Itoa(r.between(1, 40))
	case 2:
		a.unit = "Unit " + string([]byte{'A' + byte(r.n(8))})
	}
	a.zip = h.metro.zip3 + string(appendPadded(nil, r.between(1, 99), 2))
	return a
}

func (h *household) add(w world, c *culture, role relationship, female bool, born day) *person {
	n := len(h.people)
	h.people = append(h.people, person{
		identity: identity{seed: w.seed, key: mix(h.index)*31 + uint64(n)},
		n:        n, role: role, culture: c, female: female, born: born,
	})
	return &h.people[n]
}

func (h *household) addAdults(w world, r *rng) {
	c := chooseCulture(r)
	age := r.between(22, 63)
	switch {
	case h.shape.senior:
		age = r.between(66, 92)
	case h.shape.kids > 0:
		age = r.between(26, 54)
	}
	born := w.anchor.addYears(-age) - day(r.n(365))
	self := h.add(w, c, isSelf, r.chance(480), born)
	self.family = surname(r, c)
	if h.shape.adults < 2 {
		return
	}
	other := c
	if r.chance(250) {
		other = chooseCulture(r)
	}
	female := !self.female
	if r.chance(40) {
		female = self.female
	}
	lowest := w.anchor.addYears(-22) // nobody is married before 22 here
	if h.shape.senior {
		lowest = w.anchor.addYears(-66)
	}
	spouse := h.add(w, other, isSpouse, female, min(born+day(r.between(-2200, 2200)), lowest))
	own := surname(r, other)
	switch d := r.n(100); {
	case d < 20 || c.doubleSurname:
		spouse.family = own
	case d < 26:
		spouse.family = own + "-" + self.family
	default:
		spouse.family = self.family
		if r.chance(350) {
			spouse.maiden = own
		}
	}
}

func (h *household) addKids(w world, r *rng) {
	self := &h.people[0]
	youngest := self
	if h.shape.adults > 1 && h.people[1].born > self.born {
		youngest = &h.people[1]
	}
	family, parentCulture := self.family, self.culture
	if parentCulture.doubleSurname && h.shape.adults > 1 && !containsSpace(self.family) && !containsSpace(h.people[1].family) {
		family = self.family + " " + h.people[1].family
	}
	eldest := max(youngest.born.addYears(19), w.anchor.addYears(-25))
	births := h.shape.kids - bit(h.shape.twin > 0)
	for i := range births {
		span := int(w.anchor-eldest) - 120
		born := eldest + day(span*i/births) + day(r.n(max(1, span/births-280)))
		newborn := h.shape.newborn && i == births-1
		if newborn {
			born = w.anchor - day(r.between(4, 50))
		}
		female := r.chance(490)
		if h.shape.junior && i == 0 {
			female = h.people[0].female
		}
		h.addChild(w, family, female, born, newborn)
		if i == births-1 && h.shape.twin > 0 {
			first := &h.people[len(h.people)-1]
			first.twin = true
			second := h.addChild(w, family, first.female != r.chance(350), born, newborn)
			second.twin = true
		}
	}
}

func (h *household) addChild(w world, family string, female bool, born day, newborn bool) *person {
	p := h.add(w, h.people[0].culture, isChild, female, born)
	p.family, p.newborn = family, newborn
	return p
}

// finish gives a person their own names, numbers and fate, once the whole household is known.
func (h *household) finish(w world, r *rng, p *person) {
	h.christen(r, p)
	p.absent = h.shape.absent > 0 && p.n == h.shape.absent
	age := p.born.years(w.anchor)
	if age >= 16 {
		p.phone = h.phone
		if r.chance(600) {
			p.phone = phoneNumber(r, h.metro.area)
		}
		if r.chance(750) {
			p.email = asciiLetters(p.given) + "." + asciiLetters(p.family) + strconv.Itoa(r.n(100)) + "@" + pick(r, mailHosts)
		}
		if r.chance(80) {
			p.nick = nicknames[p.given]
		}
	}
	if !p.newborn && r.chance(850) {
		p.ssn = ssn(w.seed, h.number(p))
	}
	if age >= 65 {
		p.mbi = mbi(r)
	}
	if age > 60 && p.role != isSelf && r.chance(60) || age > 75 && r.chance(40) {
		p.died = w.anchor - day(r.between(40, 700))
	}
}

// christen names a person: distinct from the rest of the household, except newborns not named yet and a junior.
func (h *household) christen(r *rng, p *person) {
	if p.newborn {
		p.given = "Baby Boy"
		if p.female {
			p.given = "Baby Girl"
		}
		if p.twin && h.shape.twin > 0 && r.chance(500) {
			p.given += " " + string([]byte{'A' + byte(bit(p.n == h.shape.twin))})
		}
		return
	}
	if h.shape.junior && p.role == isChild && p.n == h.shape.adults {
		self := &h.people[0]
		p.given, p.middle = self.given, self.middle
		if !p.female && p.family == self.family {
			p.suffix = "Jr"
			if r.chance(600) {
				self.suffix = "Sr"
			}
			if r.chance(120) {
				self.suffix, p.suffix = "Jr", "III"
			}
		}
		return
	}
	for {
		p.given = givenName(r, p.culture, p.female)
		if !h.nameTaken(p) {
			break
		}
	}
	if r.chance(620) {
		for p.middle == "" || p.role == isChild && h.siblingCalled(p, p.middle) {
			p.middle = givenName(r, p.culture, p.female)
		}
		if r.chance(450) {
			p.middle = firstLetter(p.middle)
		}
	}
}

// siblingCalled reports whether a brother or sister who was named before goes by a name.
func (h *household) siblingCalled(p *person, name string) bool {
	return slices.ContainsFunc(h.people[:p.n], func(o person) bool { return o.role == isChild && firstName(o.given) == firstName(name) })
}

func firstName(given string) string {
	first, _, _ := strings.Cut(given, " ")
	return plain(first)
}

func (h *household) nameTaken(p *person) bool {
	for i := range p.n {
		if firstName(h.people[i].given) == firstName(p.given) { // nobody calls one child María, or Mary, and the other Maria, or Mary Ann
			return true
		}
	}
	return false
}

package seed

// marketFamilies (a multiple of blockFamilies) families share a market: one metro area with its own providers. The number of providers thus grows with
// the roster, and a family's providers do not depend on how many families there are.
const marketFamilies = 512

type provider struct {
	id, name, npi string
	kind          orgKind
	address       address
	locationID    string
}

type orgKind uint8

const (
	hospital orgKind = iota
	clinic
	pharmacy
	laboratory
	dentalOffice
	homeCare
)

var marketOrgs = [...]orgKind{hospital, hospital, clinic, clinic, clinic, clinic, pharmacy, pharmacy, laboratory, dentalOffice, homeCare}

var orgSuffixes = [...][]string{
	hospital:     names("Regional Medical Center,Memorial Hospital,General Hospital,University Hospital"),
	clinic:       names("Family Medicine,Medical Group,Primary Care Associates,Health Clinic,Internal Medicine"),
	pharmacy:     names("Pharmacy,Drugstore,Apothecary"),
	laboratory:   names("Diagnostics,Clinical Laboratory"),
	dentalOffice: names("Dental Care,Family Dentistry"),
	homeCare:     names("Home Health,Medical Supply"),
}

type specialty struct {
	taxonomy, name string
	org            int // place in marketOrgs
}

var specialties = []specialty{
	{"207Q00000X", "Family Medicine", 2},
	{"207Q00000X", "Family Medicine", 3},
	{"207R00000X", "Internal Medicine", 4},
	{"208000000X", "Pediatrics", 5},
	{"363L00000X", "Nurse Practitioner", 3},
	{"207RC0000X", "Cardiovascular Disease", 0},
	{"207P00000X", "Emergency Medicine", 1},
	{"207X00000X", "Orthopaedic Surgery", 0},
	{"2084P0800X", "Psychiatry", 4},
	{"208600000X", "Surgery", 1},
	{"122300000X", "Dentist", 9},
	{"183500000X", "Pharmacist", 6},
}

// Places of specialties the generator asks for by name. Those before firstSpecialist can be a member's primary care.
const (
	firstSpecialist = 5
	emergency       = 6
	psychiatry      = 8
	surgery         = 9
	dentist         = 10
	pharmacist      = 11
	practitioners   = 30
)

type practitioner struct {
	id, roleID, npi string
	family, given   string
	female          bool
	specialty       *specialty
	org             *provider
}

type market struct {
	number        uint64
	metro         *metro
	orgs          [len(marketOrgs)]provider
	practitioners [practitioners]practitioner
}

func marketMetro(seed, number uint64) *metro {
	return &metros[(number+mix(seed)%uint64(len(metros)))%uint64(len(metros))]
}

func (w world) market(number uint64) *market {
	r := newRNG(w.seed, domainMarket, number)
	m := &market{number: number, metro: marketMetro(w.seed, number)}
	who := identity{seed: w.seed, key: mix(number ^ uint64(domainMarket)<<40)}
	h := household{metro: m.metro}
	for i, kind := range marketOrgs {
		o := &m.orgs[i]
		*o = provider{id: who.id(Organization, i), locationID: who.id(Location, i), kind: kind, address: h.newAddress(&r), npi: w.providerNPI(number, i)}
		o.name = pick(&r, m.metro.towns) + " " + pick(&r, orgSuffixes[kind])
		if r.chance(400) {
			o.name = lean(&r, cultures[0].surnames) + " " + pick(&r, orgSuffixes[kind])
		}
	}
	for i := range m.practitioners {
		p := &m.practitioners[i]
		c := chooseCulture(&r)
		*p = practitioner{id: who.id(Practitioner, i), roleID: who.id(PractitionerRole, i), female: r.chance(500), npi: w.providerNPI(number, len(marketOrgs)+i)}
		p.family, p.given = surname(&r, c), givenName(&r, c, p.female)
		p.specialty = &specialties[i%len(specialties)]
		p.org = &m.orgs[p.specialty.org]
	}
	return m
}

// providerNPI gives every provider of every market a number of its own, by an affine permutation of eight digits.
func (w world) providerNPI(market uint64, slot int) string {
	n := (market*64 + uint64(slot)) % 100_000_000
	return npi(100_000_000 + int((n*43_046_721+mix(w.seed^0x4e5049)%100_000_000)%100_000_000))
}

// specialist returns a practitioner with the given place in specialties; n picks among them.
func (m *market) specialist(place, n int) *practitioner {
	count := (practitioners - place + len(specialties) - 1) / len(specialties)
	return &m.practitioners[place+n%count*len(specialties)]
}

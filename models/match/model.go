package match

import (
	"encoding/json"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"sync"

	"pdexbulk/models"
)

// Field is what is compared.
type Field uint8

// The fields. Numbers are stored with models; never renumber.
const (
	Given Field = iota
	Middle
	Family
	Birth
	Gender
	Suffix
	Postal
	Phone
	Email
	MemberID
	SubscriberID
	National
	OtherID
	Group
	Payer
	Period
	fieldCount
)

var fieldNames = [fieldCount]string{
	"given-name", "middle-name", "family-name", "birth-date", "gender", "name-suffix", "address", "phone", "email",
	"member-id", "subscriber-id", "national-id", "other-id", "group", "payer", "coverage-period",
}

// String returns the name of the field that explanations use.
func (f Field) String() string { return fieldNames[f] }

// Level says how two values of a field agree.
type Level uint8

// The levels. Numbers are stored with models; never renumber.
const (
	Missing  Level = iota // not known on one side, or no more than a placeholder
	Exact                 // the same once normalised
	Swapped               // given and family name, given and middle name, or day and month exchanged
	Nickname              // one is short for the other
	Slip                  // one slip of the keyboard apart
	Near                  // two slips apart, or alike in sound; dates near each other
	Part                  // one is a part of the other: one half of a double name, the middle name
	Initial               // an initial that fits
	Place                 // the same place, no more being known
	Conflict              // different
	levelCount
)

var levelNames = [levelCount]string{"missing", "exact", "swapped", "nickname", "slip", "near", "part", "initial", "place", "conflict"}

// String returns the name of the level that explanations use.
func (l Level) String() string { return levelNames[l] }

// Model holds the weights of the comparison. Its tables come from Default, or from Train.
type Model struct {
	Version int64
	Members int64 // on the roster it was trained on, 0 for the default
	// Same is how often each level comes up among pairs of records of one person that both have the field, Other among pairs
	// of different people.
	Same, Other [fieldCount][levelCount]float64
	// Givens and Families are how many members have a name, for the names that are not rare. The keys are TermHash.
	Givens, Families map[uint64]int32
	// Today is the day of the decision, in days since 1970-01-01; 0 takes nobody for an adult.
	Today int32 `json:"-"`

	bits [fieldCount][levelCount]float64
}

// Default returns the built-in model. Its rates are judged from published studies of registration errors, on the careful side;
// it knows no roster, and takes names for common.
func Default() *Model {
	m := &Model{}
	set := func(f Field, l Level, same, other float64) { m.Same[f][l], m.Other[f][l] = same, other }
	set(Given, Exact, .82, .004)
	set(Given, Swapped, .02, .0001)
	set(Given, Nickname, .05, .002)
	set(Given, Slip, .05, .003)
	set(Given, Near, .015, .006)
	set(Given, Part, .02, .004)
	set(Given, Initial, .015, .03)
	set(Given, Conflict, .02, .951)
	set(Middle, Exact, .5, .008)
	set(Middle, Initial, .44, .06)
	set(Middle, Conflict, .06, .932)
	set(Family, Exact, .87, .002)
	set(Family, Swapped, .02, .00004)
	set(Family, Slip, .05, .001)
	set(Family, Near, .01, .004)
	set(Family, Part, .03, .001)
	set(Family, Conflict, .03, .992)
	set(Birth, Exact, .955, 1./29200)
	set(Birth, Swapped, .005, 1./29200)
	set(Birth, Slip, .02, .0007)
	set(Birth, Near, .01, .003)
	set(Birth, Conflict, .01, .9962)
	set(Gender, Exact, .994, .5)
	set(Gender, Conflict, .006, .5)
	set(Suffix, Exact, .98, .3)
	set(Suffix, Conflict, .02, .7)
	set(Postal, Exact, .6, .00002)
	set(Postal, Slip, .1, .0001)
	set(Postal, Place, .04, .01)
	set(Postal, Near, .06, .004)
	set(Postal, Conflict, .2, .98)
	set(Phone, Exact, .62, .00002)
	set(Phone, Slip, .05, .00005)
	set(Phone, Conflict, .33, .9999)
	set(Email, Exact, .75, .00001)
	set(Email, Slip, .07, .00002)
	set(Email, Near, .03, .001)
	set(Email, Conflict, .15, .9989)
	set(MemberID, Exact, .92, .000005)
	set(MemberID, Slip, .03, .00001)
	set(MemberID, Conflict, .05, .9999)
	set(SubscriberID, Exact, .93, .00001)
	set(SubscriberID, Slip, .03, .00002)
	set(SubscriberID, Conflict, .04, .9999)
	set(National, Exact, .95, .000002)
	set(National, Slip, .03, .00002)
	set(National, Conflict, .02, .9999)
	set(OtherID, Exact, .7, .00002)
	set(OtherID, Conflict, .3, .9999)
	set(Group, Exact, .9, .02)
	set(Group, Conflict, .1, .98)
	set(Payer, Exact, .97, .9)
	set(Payer, Conflict, .03, .1)
	set(Period, Exact, .95, .85)
	set(Period, Conflict, .05, .15)
	m.weigh()
	return m
}

// weigh computes the weights: an agreement never speaks against its being one person, a conflict never for it.
func (md *Model) weigh() {
	for f := range fieldCount {
		for l := range levelCount {
			if md.Same[f][l] <= 0 || md.Other[f][l] <= 0 {
				continue
			}
			bits := math.Log2(md.Same[f][l] / md.Other[f][l])
			switch l {
			case Conflict:
				bits = min(bits, 0)
			case Exact, Place:
				bits = max(bits, 0)
			default:
			}
			md.bits[f][l] = bits
		}
	}
}

// The names of how often what happens to a name, by which single names are weighed.
const (
	slipRate     = .0005 // a certain slip: five in a hundred records have one, and there are about a hundred to make
	nearRate     = .00002
	nicknameRate = .017 // a certain short form
	cousinRate   = .002 // another short form of the same name, both being names of their own
	priorNames   = 200  // how many made-up members stand for the names that a roster does not hold
)

// priorShare is how common a name is taken to be before any roster is seen.
func priorShare(f Field, word string) float64 {
	if f == Family {
		return .0002
	}
	share := max(float64(bearers()[word])/1e7, rareGiven)
	if len(nicknameTable()[word]) > 0 && !registered()[word] { // more go by it than are registered under it
		share = max(share, .0005)
	}
	return share
}

// rareGiven is how common a given name is taken to be that is not among those of given_names.txt.
const rareGiven = 1e-6

// share is how many people of the population have a name, as a fraction.
func (md *Model) share(f Field, word string) float64 { return md.shareOf(f, word, 0) }

// othersShare is the same without the one member who is being compared: a slip in our own record makes no name of it.
func (md *Model) othersShare(f Field, word string) float64 { return md.shareOf(f, word, 1) }

func (md *Model) shareOf(f Field, word string, less float64) float64 {
	terms := md.Givens
	if f == Family {
		terms = md.Families
	}
	n := max(0, float64(terms[TermHash(word)])-less)
	return (n + priorNames*priorShare(f, word)) / (float64(md.Members) + priorNames)
}

// named reports whether people are known to have a given name, more of them than the member who is being compared.
func (md *Model) named(word string) bool {
	return bearers()[word] > 0 || len(nicknameTable()[word]) > 0 || md.Givens[TermHash(word)] > 1
}

// nearer reports whether what is nobody's name is one slip from some name: two slips from another, it is not likely to be that.
func (md *Model) nearer(word string) bool {
	return !md.named(word) && slices.ContainsFunc(oneSlip(word), md.named)
}

// asNear reports whether the one of two words that is nobody's name is one slip from another name than the other word as well,
// which is hardly rarer: Jante may be Jane, and Janet.
func (md *Model) asNear(a, b string) bool {
	if md.named(a) {
		a, b = b, a
	}
	least := md.share(Given, b) / hardlyRarer
	return slices.ContainsFunc(oneSlip(a), func(name string) bool { return name != b && md.named(name) && md.share(Given, name) >= least })
}

const hardlyRarer = 8

// exactBits is the weight of a name that agrees: the rarer, the more.
func (md *Model) exactBits(f Field, word string) float64 {
	share := md.share(f, word)
	if md.Members == 0 {
		share = max(share, map[Field]float64{Given: .004, Family: .001}[f])
	}
	return max(0, min(math.Log2(md.Same[f][Exact]/share), 14))
}

// apartBits is the weight of two forms of a name of which one comes of the other at a rate. It is small, or against, when
// both are names that many people have: then they are more likely two people's.
func (md *Model) apartBits(f Field, a, b string, rate, lo, hi float64) float64 {
	bits := math.Log2(rate * (1/md.othersShare(f, a) + 1/md.othersShare(f, b)) / 2)
	return max(lo, min(bits, hi))
}

// TermHash is the key of a name in a model's tables.
func TermHash(word string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(word))
	return h.Sum64()
}

// FirstGiven and SolidFamily are the forms of names that a model counts.
func FirstGiven(given string) string {
	word, _, _ := strings.Cut(given, " ")
	return word
}

// SolidFamily is the family name as a model counts it.
func SolidFamily(family string) string { return solid(family) }

// registered holds the names of the nickname table that have short forms themselves.
var registered = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, longs := range nicknameTable() {
		for _, long := range longs {
			names[long] = true
		}
	}
	return names
})

// prior is how unlikely it is, in bits, that a person asked for is a given member, before anything is compared: the people
// asked about come from a market that is larger than the roster.
func (md *Model) prior() float64 {
	people := md.Members
	if people == 0 {
		people = 1_000_000
	}
	return math.Log2(float64(max(people, smallestMarket)))
}

const smallestMarket = 100_000

// ParseModel reads a model that was stored as JSON.
func ParseModel(data []byte) (*Model, error) {
	m := &Model{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, models.Errorf(models.KindInternal, "the matcher's weights cannot be read").Because(err)
	}
	m.weigh()
	return m, nil
}

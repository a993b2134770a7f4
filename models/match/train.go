package match

import (
	"math"
	"strings"
)

// Trainer learns a model of a roster, without anybody saying who is who: how common names are by counting, how often values
// agree by chance from members taken at random, and how records of one person and of relatives differ by expectation
// maximisation over members who are near each other. A roster holds few people twice, so what is learned of those stays close
// to what is built in, and no weight leaves the bounds within which the thresholds were set.
//
// Use: Count for every member; Stranger for some, in an order that says nothing; Near for pairs of candidates; then Train.
type Trainer struct {
	base             *Model
	members          int64
	givens, families map[string]int32
	last             *Person
	chance           [fieldCount][levelCount]float64
	pairs            []pattern
}

// pattern is how two members agree.
type pattern [fieldCount]Level

// maxPairs bounds what is learned of.
const maxPairs = 200_000

func (t *Trainer) model() *Model {
	if t.base == nil {
		t.base = Default()
		t.givens, t.families = map[string]int32{}, map[string]int32{}
	}
	return t.base
}

// Count takes a member's official names into account.
func (t *Trainer) Count(p *Person) {
	t.model()
	t.members++
	if len(p.Givens) > 0 {
		t.givens[strings.Clone(FirstGiven(p.Givens[0]))]++
	}
	if len(p.Families) > 0 {
		t.families[strings.Clone(solid(p.Families[0]))]++
	}
}

// Stranger compares a member with the one of the call before.
func (t *Trainer) Stranger(p *Person) {
	if t.last != nil {
		c := t.model().compare(p, t.last, nil)
		for f, found := range c.found {
			t.chance[f][found.Level]++
		}
	}
	t.last = p
}

// Near compares two members who have a key in common. It returns false when it has learned of enough.
func (t *Trainer) Near(p, m *Person) bool {
	if len(t.pairs) >= maxPairs {
		return false
	}
	c := t.model().compare(p, m, nil)
	var at pattern
	for f, found := range c.found {
		at[f] = found.Level
	}
	t.pairs = append(t.pairs, at)
	return true
}

// Pairs is how many pairs of near members were compared.
func (t *Trainer) Pairs() int { return len(t.pairs) }

// Train returns the model. Its version is the caller's to set.
func (t *Trainer) Train() *Model {
	base := t.model()
	m := Default()
	for f := range fieldCount {
		n := 0.
		for l := Exact; l < levelCount; l++ {
			n += t.chance[f][l]
		}
		for l := Exact; l < levelCount && n > 0; l++ {
			if base.Other[f][l] > 0 {
				m.Other[f][l] = (t.chance[f][l] + priorEvents) / (n + priorEvents/base.Other[f][l])
			}
		}
	}
	t.maximise(m)
	m.Members = t.members
	least := int32(max(1, t.members/200_000))
	m.Givens, m.Families = common2(t.givens, least), common2(t.families, least)
	m.weigh()
	return m
}

func common2(terms map[string]int32, least int32) map[uint64]int32 {
	out := make(map[uint64]int32, len(terms))
	for word, n := range terms {
		if n >= least {
			out[TermHash(word)] = n
		}
	}
	return out
}

// The classes of pairs that expectation maximisation parts.
const (
	classSame = iota
	classRelative
	classStranger
	classCount
)

const (
	rounds = 12
	// priorEvents is how often a level has come up by chance in what the built-in rate stands for: what hardly ever does, as two of a
	// birthday, is not learned of a few thousand members.
	priorEvents = 8.
	// priorPairs is how many pairs the built-in rates count for.
	priorPairs = 500.
	// mostBits is how far a learned weight may be from the built-in one.
	mostBits = 1.5
)

// maximise learns the rates of records of one person (m.Same), given those of strangers.
func (t *Trainer) maximise(m *Model) {
	if len(t.pairs) == 0 {
		return
	}
	counts := map[pattern]float64{}
	for _, p := range t.pairs {
		counts[p]++
	}
	relative := relatives(m)
	start := m.Same
	share := [classCount]float64{.01, .6, .39}
	for range rounds {
		var sums [classCount]float64
		var same, kin [fieldCount][levelCount]float64
		for p, n := range counts {
			var like [classCount]float64
			for f, l := range p {
				if l == Missing {
					continue
				}
				like[classSame] += math.Log(max(m.Same[f][l], 1e-9))
				like[classRelative] += math.Log(max(relative[f][l], 1e-9))
				like[classStranger] += math.Log(max(m.Other[f][l], 1e-9))
			}
			top, whole := max(like[0], like[1], like[2]), 0.
			for c := range like {
				like[c] = share[c] * math.Exp(like[c]-top)
				whole += like[c]
			}
			for c := range like {
				sums[c] += n * like[c] / whole
			}
			for f, l := range p {
				same[f][l] += n * like[classSame] / whole
				kin[f][l] += n * like[classRelative] / whole
			}
		}
		for c := range share {
			share[c] = max(sums[c]/float64(len(t.pairs)), 1e-6)
		}
		for f := range fieldCount {
			blend(&m.Same[f], &start[f], &same[f])
			blend(&relative[f], &relative[f], &kin[f])
		}
	}
	for f := range fieldCount {
		for l := Exact; l < levelCount; l++ {
			if start[f][l] > 0 {
				m.Same[f][l] = min(max(m.Same[f][l], start[f][l]*math.Exp2(-mostBits)), start[f][l]*math.Exp2(mostBits), .9999)
			}
		}
	}
}

// blend sets rates to the counted ones, with the prior counting for priorPairs.
func blend(rates, prior *[levelCount]float64, counted *[levelCount]float64) {
	n := priorPairs
	for l := Exact; l < levelCount; l++ {
		n += counted[l]
	}
	for l := Exact; l < levelCount; l++ {
		if prior[l] > 0 {
			rates[l] = (counted[l] + priorPairs*prior[l]) / n
		}
	}
}

// relatives returns where the rates of two members of one household begin: they have in common what a household has.
func relatives(m *Model) [fieldCount][levelCount]float64 {
	rates := m.Other
	for _, f := range []Field{Family, Postal, Phone, SubscriberID, Group, Payer, Period} {
		rates[f] = m.Same[f]
	}
	return rates
}

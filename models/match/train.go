package match

import "strings"

// Count makes a model's name tables of a roster: each call of add is a member.
type Count struct {
	members          int64
	givens, families map[string]int32
}

// Add counts a member under the first given name and the family name they are officially known by.
func (c *Count) Add(p *Person) {
	if c.givens == nil {
		c.givens, c.families = map[string]int32{}, map[string]int32{}
	}
	c.members++
	if len(p.Givens) > 0 {
		c.givens[strings.Clone(FirstGiven(p.Givens[0]))]++
	}
	if len(p.Families) > 0 {
		c.families[strings.Clone(solid(p.Families[0]))]++
	}
}

// Into sets the tables of a model. Names that few members have are left out: they are rare by not being there.
func (c *Count) Into(m *Model) {
	m.Members = c.members
	least := int32(max(1, c.members/200_000))
	m.Givens, m.Families = keep2(c.givens, least), keep2(c.families, least)
}

func keep2(terms map[string]int32, least int32) map[uint64]int32 {
	out := make(map[uint64]int32, len(terms))
	for word, n := range terms {
		if n >= least {
			out[TermHash(word)] = n
		}
	}
	return out
}

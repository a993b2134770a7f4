package quality

import (
	"slices"
	"strings"

	"pdexbulk/models/fhir"
)

// rival is the matching rule of another server, re-stated from its documents. Values are compared without regard to case, as
// theirs are, and not otherwise normalised; more than one hit is no match.
type rival struct {
	name string
	// key is what is looked up; "" for a query that cannot be asked.
	key func(r *raw) string
	// fits says whether a hit counts.
	fits func(q, m *raw) bool
}

// raw is somebody as they are written.
type raw struct {
	family, given, born, gender string
	ids                         []string
}

func rawOf(d *fhir.Demographics, cards []fhir.Card) raw {
	r := raw{born: d.BirthDate, gender: d.Gender}
	if len(d.Names) > 0 {
		r.family = strings.ToLower(d.Names[0].Family)
		if len(d.Names[0].Given) > 0 {
			r.given = strings.ToLower(d.Names[0].Given[0])
		}
	}
	for _, c := range cards {
		if c.SubscriberID != "" {
			r.ids = append(r.ids, "s"+c.SubscriberID)
		}
		for _, id := range c.MemberIDs {
			r.ids = append(r.ids, "m"+id.Value)
		}
	}
	return r
}

func (r *raw) id(kind byte) string {
	for _, id := range r.ids {
		if id[0] == kind {
			return id
		}
	}
	return ""
}

func (r *raw) has(id string) bool {
	return slices.Contains(r.ids, id)
}

func joined(parts ...string) string {
	if slices.Contains(parts, "") {
		return ""
	}
	return strings.Join(parts, "|")
}

var rivals = []rival{
	{
		"Payerbox, payer to payer", func(r *raw) string { return joined(r.family, r.given, r.born, r.gender) },
		func(q, m *raw) bool { id := q.id('s'); return id == "" || m.has(id) },
	},
	{
		"Payerbox, provider", func(r *raw) string { return joined(r.family, r.given, r.born) },
		func(_, _ *raw) bool { return true },
	},
	{
		"WSO2", func(r *raw) string { return r.given },
		func(q, m *raw) bool {
			score := .3
			for _, same := range []bool{q.family == m.family && q.family != "", q.born == m.born} {
				if same {
					score += .3
				}
			}
			if q.gender == m.gender {
				score += .1
			}
			id := q.id('m')
			return score >= .8 && id != "" && m.has(id)
		},
	},
	{
		"PDex reference implementation", func(r *raw) string { return joined(r.family, r.born) },
		func(q, m *raw) bool {
			for _, kind := range []byte("ms") {
				if id := q.id(kind); id != "" && m.has(id) {
					return true
				}
			}
			return false
		},
	},
	{
		"Smile CDR, default", func(r *raw) string { return joined(r.family, r.born) },
		func(_, _ *raw) bool { return true },
	},
}

// runRival asks everything by a rival's rule.
func (s *set) runRival(r rival, withCard bool) score {
	index := map[string][]int32{}
	for i := range s.raws {
		if k := r.key(&s.raws[i]); k != "" {
			index[k] = append(index[k], int32(i))
		}
	}
	var sum score
	for i := range s.queries {
		q := &s.queries[i]
		var cards []fhir.Card
		if withCard {
			cards = []fhir.Card{q.card}
		}
		asked := rawOf(&q.patient, cards)
		answer, hits := -1, 0
		if k := r.key(&asked); k != "" {
			for _, at := range index[k] {
				if r.fits(&asked, &s.raws[at]) {
					answer = int(at)
					hits++
				}
			}
		}
		if hits != 1 {
			answer = -1
		}
		judged := *q
		if asked.born == "" || asked.family == "" {
			judged.optional = true
		}
		sum.add(s.judge(&judged, answer))
	}
	return sum
}

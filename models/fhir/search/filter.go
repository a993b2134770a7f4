package search

import (
	"bytes"
	"maps"
	"math/bits"
	"slices"
	"sync"

	"pdexbulk/models/fhir/checked"
)

// Filters is a parsed _typeFilter. The zero value filters nothing. It never changes and may be shared.
type Filters struct {
	byType map[int16]Filter
}

// For returns the filter of a resource type, and false when the type is not filtered.
func (f Filters) For(typeCode int16) (Filter, bool) {
	filter, ok := f.byType[typeCode]
	return filter, ok
}

// Types returns the codes of the filtered types, in ascending order.
func (f Filters) Types() []int16 { return slices.Sorted(maps.Keys(f.byType)) }

// Filter is what the queries on one resource type select together: a resource that any of them matches. The zero value
// matches everything. It never changes and may be used by several goroutines at once.
type Filter struct {
	queries []*query
}

// Match reports whether the filter selects a resource. The line is one that fhir.Inspect accepts, of the filter's type, with
// or without its line break; on any other bytes the answer means nothing.
func (f Filter) Match(line []byte) bool {
	for _, q := range f.queries {
		if q.match(line) {
			return true
		}
	}
	return len(f.queries) == 0
}

// query is one search: conditions that a resource must all meet. At most maxConditions, one bit each in a state.
type query struct {
	conditions []condition
	root       node
	// wanted are the conditions that must be met by some value, refused those that must not be.
	wanted, refused uint64
	// needles are the texts of which, condition by condition, one must be in the line.
	needles [][][]byte
}

// modifier is what follows the name of a parameter.
type modifier uint8

const (
	modNone modifier = iota
	modNot
	modText
	modMissing
	modExact
	modContains
	modIdentifier
	modType
)

// condition is one parameter of a query with its values, of which any will do.
type condition struct {
	param    *param
	modifier modifier
	missing  bool // the value of :missing
	tokens   []token
	dates    []dateValue
	refs     []refValue
	phrases  []phrase
}

// node is an element that a query looks at or below. Lists are seen through.
type node struct {
	edges []edge
	// lengths has bit n set when a child's name is n bytes long; most members are passed over on that alone.
	lengths uint64
	// conditions are those to test the element against, one bit each.
	conditions uint64
}

type edge struct {
	step
	child *node
}

// state is what a walk over one line finds and works with.
type state struct {
	met                  uint64
	code, system, folded []byte // scratch
}

// states keeps scratch from line to line.
var states = sync.Pool{New: func() any { return new(state) }}

// add puts a condition in the tree.
func (q *query) add(c condition) {
	bit := uint64(1) << len(q.conditions)
	for _, path := range c.param.paths {
		n := &q.root
		for _, s := range path {
			n = n.grow(s)
		}
		n.conditions |= bit
	}
	if c.modifier == modNot || c.modifier == modMissing && c.missing {
		q.refused |= bit
	} else {
		q.wanted |= bit
	}
	q.conditions = append(q.conditions, c)
	if n := c.needles(); n != nil {
		q.needles = append(q.needles, n)
	}
}

func (n *node) grow(s step) *node {
	for i := range n.edges {
		if n.edges[i].step == s {
			return n.edges[i].child
		}
	}
	child := &node{}
	n.edges = append(n.edges, edge{s, child})
	n.lengths |= 1 << min(len(s.name), 63)
	return child
}

func (q *query) match(line []byte) bool {
	if !q.possible(line) {
		return false
	}
	s, _ := states.Get().(*state)
	defer states.Put(s)
	s.met = 0
	q.object(line[checked.Blanks(line, 0):], &q.root, s)
	return s.met&q.wanted == q.wanted && s.met&q.refused == 0
}

// possible spares most lines the walk: a line without any of a condition's needles cannot meet it, unless it has them
// escaped. Needles hold nothing that could be escaped other than as \uXXXX.
func (q *query) possible(line []byte) bool {
	for _, alternatives := range q.needles {
		if slices.ContainsFunc(alternatives, func(needle []byte) bool { return bytes.Contains(line, needle) }) {
			continue
		}
		return bytes.Contains(line, []byte(`\u`))
	}
	return true
}

// settled says that the rest of the line cannot change the answer.
func (q *query) settled(s *state) bool {
	return s.met&q.refused != 0 || q.refused == 0 && s.met == q.wanted
}

// object walks over an object. It reports whether the answer is settled.
func (q *query) object(value []byte, n *node, s *state) bool {
	for m := membersOf(value); ; {
		name, v, ok := m.next()
		if !ok {
			return false
		}
		if n.lengths>>min(len(name), 63)&1 == 0 {
			continue
		}
		for i := range n.edges {
			if e := &n.edges[i]; e.name == string(name) && q.values(v, e, s) {
				return true
			}
		}
	}
}

// values walks over the elements of a list, or the one there is.
func (q *query) values(value []byte, e *edge, s *state) bool {
	for list := elementsOf(value); ; {
		v, ok := list.next()
		if !ok {
			return false
		}
		if v[0] == 'n' || v[0] == '[' { // null; a list of lists is not FHIR
			continue
		}
		if e.url != "" && string(literal(member(v, "url"))) != e.url {
			continue
		}
		if q.test(v, e.child, s) || len(e.child.edges) > 0 && q.object(v, e.child, s) {
			return true
		}
	}
}

// test holds a value against the conditions on it that are not yet met.
func (q *query) test(value []byte, n *node, s *state) bool {
	open := n.conditions &^ s.met
	if open == 0 {
		return false
	}
	for ; open != 0; open &= open - 1 {
		if i := bits.TrailingZeros64(open); q.conditions[i].test(value, s) {
			s.met |= 1 << i
		}
	}
	return q.settled(s)
}

// test reports whether a value is one the condition asks for; with :missing, whether it is a value at all.
func (c *condition) test(value []byte, s *state) bool {
	if c.modifier == modMissing && c.param.kind != KindReference {
		return true
	}
	switch c.param.kind {
	case KindToken:
		if c.modifier == modText {
			return c.label(value, s)
		}
		return c.token(value, s)
	case KindDate:
		return c.date(value)
	case KindString:
		return c.string(value, s)
	case KindURI:
		return c.uri(value, s)
	case KindReference:
		if c.modifier == modIdentifier {
			id := member(value, "identifier")
			return id != nil && c.token(id, s)
		}
		return c.reference(value, s)
	default:
		return false
	}
}

// needles returns texts of which the line must hold one to meet the condition, nil when nothing can be said.
func (c *condition) needles() (list [][]byte) {
	switch c.modifier {
	case modNone, modIdentifier, modType:
	default:
		return nil
	}
	add := func(text []byte) bool {
		list = append(list, text)
		return len(text) >= minNeedle && len(list) <= maxNeedles
	}
	for i := range c.tokens {
		t := &c.tokens[i]
		if c.param.exact {
			if !add(longest(t.code, always)) {
				return nil
			}
		} else if !add(longest(t.code, caseless)) {
			return nil
		}
	}
	for i := range c.refs {
		r := &c.refs[i]
		if !add(longest([]byte(r.id+r.url), always)) {
			return nil
		}
	}
	return list
}

const (
	minNeedle  = 3
	maxNeedles = 4
)

// always holds the bytes that JSON writes as they are, or as \uXXXX. Beyond ASCII it is left alone.
func always(c byte) bool {
	return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '/'
}

// caseless is always without the letters: what is equal to these is only themselves.
func caseless(c byte) bool {
	return always(c) && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
}

// longest returns the longest run of bytes that all are fit.
func longest(text []byte, fit func(byte) bool) (best []byte) {
	start := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && fit(text[i]) {
			continue
		}
		if i-start > len(best) {
			best = text[start:i]
		}
		start = i + 1
	}
	return best
}

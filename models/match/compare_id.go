package match

import (
	"slices"
	"strconv"
	"strings"

	"pdexbulk/models"
)

func (md *Model) compareIDs(p, m *Person, shared map[string]bool, c *comparison) {
	levels := [fieldCount]Level{}
	raise := func(f Field, l Level) {
		if levels[f] == Missing || levels[f] == Conflict || l == Exact {
			levels[f] = l
		}
	}
	for _, a := range p.IDs {
		for _, b := range m.IDs {
			f, ok := meet(a.Kind, b.Kind)
			if !ok {
				continue
			}
			same := a.Value == b.Value
			if f == MemberID && (isSubscriber(p.IDs, a.Value) || isSubscriber(m.IDs, b.Value) || same && shared[a.Value]) {
				f = SubscriberID // whatever it is called, it is the family's
			}
			switch {
			case same && f == National && shared[a.Value]:
				raise(SubscriberID, Exact)
			case same:
				raise(f, Exact)
				if f == MemberID {
					c.verified = c.verified || isDependentOf(p.IDs, a.Value) || isDependentOf(m.IDs, a.Value)
				}
			case a.Kind != b.Kind, f != National && slices.Contains(p.own, a.Value): // that they are not equal means nothing
			case f == MemberID && sameDependent(p.IDs, m.IDs, a.Value, b.Value):
				raise(f, Exact)
				c.verified = true
			case f == OtherID:
				raise(f, Conflict)
			case len(a.Value) >= 8 && slips(a.Value, b.Value) == 1 && tail(a.Value) == tail(b.Value):
				raise(f, Slip)
			case f == National && slips(a.Value, b.Value) <= 2:
				raise(f, Slip)
			default:
				raise(f, Conflict)
			}
		}
	}
	c.sibling = levels[MemberID] != Exact && siblings(p, m)
	for _, f := range []Field{MemberID, SubscriberID, National, OtherID} {
		if levels[f] != Missing {
			c.set(md, f, levels[f])
		}
	}
	switch levels[MemberID] {
	case Exact:
		c.lift(MemberID, 4)
		if c.verified {
			c.lift(MemberID, 10)
		}
	case Slip:
		c.lift(MemberID, 2)
	case Conflict:
		if levels[SubscriberID] != Exact {
			break
		}
		c.lift(MemberID, -2)
	default:
	}
	switch levels[National] {
	case Exact:
		c.lift(National, 12)
	case Slip:
		c.lift(National, 5)
	case Conflict:
		c.lift(National, -6)
	default:
	}
}

func (c *comparison) lift(f Field, bits float64) { c.found[f].Relative, c.found[f].Twin = bits, bits }

// meet returns the field in which identifiers of two kinds are compared. Payers put numbers in the wrong place, so most kinds
// meet; a social security number only meets its own.
func meet(a, b models.CardKind) (Field, bool) {
	known := func(k models.CardKind) bool { return models.CardMemberID <= k && k <= models.CardOther }
	switch {
	case !known(a) || !known(b):
		return 0, false
	case a == models.CardSSN && b == models.CardSSN, a == models.CardMBI && b == models.CardMBI:
		return National, true
	case a == models.CardSSN || b == models.CardSSN:
		return 0, false
	case a == models.CardMemberID && b == models.CardMemberID:
		return MemberID, true
	case a == models.CardOther && b == models.CardOther:
		return OtherID, true
	}
	return SubscriberID, true
}

// isSubscriber reports whether a value is also a subscriber number: then it is the family's, whatever else it is called.
func isSubscriber(ids []ID, value string) bool {
	return slices.Contains(ids, ID{models.CardSubscriber, value})
}

// isDependentOf reports whether a member id is a subscriber number with the number of a dependant.
func isDependentOf(ids []ID, value string) bool {
	for _, id := range ids {
		if id.Kind == models.CardSubscriber {
			if rest, ok := strings.CutPrefix(value, id.Value); ok && isDependent(rest) {
				return true
			}
		}
	}
	return false
}

// dependent returns the number of the dependant in a member id, given who the subscriber is; -1 for none.
func dependent(subscriber, value string) int {
	rest, ok := strings.CutPrefix(value, subscriber)
	if !ok || !isDependent(rest) {
		return -1
	}
	n, err := strconv.Atoi(rest)
	if err != nil {
		return -1
	}
	return n
}

// sameDependent reports whether two member ids are one dependant of one subscriber, written in two ways (1, 01, 001).
func sameDependent(as, bs []ID, a, b string) bool {
	for _, ids := range [][]ID{as, bs} {
		for _, id := range ids {
			if id.Kind == models.CardSubscriber && dependent(id.Value, a) >= 0 && dependent(id.Value, a) == dependent(id.Value, b) {
				return true
			}
		}
	}
	return false
}

// siblings reports whether member ids on both sides belong to different people on one subscriber number.
func siblings(p, m *Person) bool {
	as, bs := p.IDs, m.IDs
	for _, a := range as {
		if slices.Contains(p.own, a.Value) {
			continue
		}
		for _, b := range bs {
			if a.Kind != models.CardMemberID || b.Kind != models.CardMemberID || isSubscriber(as, a.Value) || isSubscriber(bs, b.Value) {
				continue
			}
			for _, ids := range [][]ID{as, bs} {
				for _, id := range ids {
					if id.Kind != models.CardSubscriber {
						continue
					}
					x, y := dependent(id.Value, a.Value), dependent(id.Value, b.Value)
					if x >= 0 && y >= 0 && x != y {
						return true
					}
				}
			}
			if n := len(a.Value) - 2; len(a.Value) == len(b.Value) && n >= 6 && a.Value[:n] == b.Value[:n] && allDigits(a.Value[n:]) && allDigits(b.Value[n:]) {
				return true
			}
		}
	}
	return false
}

// tail is the end of a number in which that of a dependant would be.
func tail(value string) string { return value[len(value)-3:] }

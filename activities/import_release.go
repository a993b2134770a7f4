package activities

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// ruledAtATime is how much raw data of members is looked at together when what came changes how the rest may leave.
const ruledAtATime = 32 << 20

// ruledClass are the classes that rest on more than their own line.
const ruledClass = models.ClassSensitive | models.ClassLinked | models.ClassPriorAuth | models.ClassSupport

// released are lines ready to be written, by class.
type released map[place]map[models.Class][]entry

func (r released) add(at place, class models.Class, e entry) {
	if r[at] == nil {
		r[at] = map[models.Class][]entry{}
	}
	r[at][class] = append(r[at][class], e)
}

// release gives every new line its release class and makes the views of it (models/release). Where one resource of a member
// decides about others, all of the member's are ruled again, and those held that turn out otherwise are written anew.
func (m *merger) release(view *store.MergeTx, sh *shelf, fresh map[place][]entry) (released, error) {
	out := released{}
	if m.unruled {
		for at, lines := range fresh {
			for _, e := range lines {
				out.add(at, e.class, e)
			}
		}
		return out, nil
	}
	ruled := sh.toRule(fresh)
	for at, lines := range fresh {
		if ruled[at.member] {
			continue
		}
		for _, e := range lines {
			m.put(out, at, e, nil)
		}
	}
	var batch []uuid.UUID
	size := 0
	for _, id := range slices.SortedFunc(maps.Keys(ruled), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }) {
		batch = append(batch, id)
		if size += sh.rawOf(id); size < ruledAtATime {
			continue
		}
		if err := m.ruleMembers(view, sh, fresh, batch, out); err != nil {
			return nil, err
		}
		batch, size = batch[:0], 0
	}
	return out, m.ruleMembers(view, sh, fresh, batch, out)
}

// toRule returns the members whose resources have to be ruled together: those that something changes for, when anything of
// theirs is sensitive, is a prior authorisation, or is a Provenance.
func (sh *shelf) toRule(fresh map[place][]entry) map[uuid.UUID]bool {
	changed, special := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	for at, lines := range fresh {
		if !models.IsMember(at.member) || len(lines) == 0 {
			continue
		}
		changed[at.member] = true
		if at.typ == fhir.TypeProvenance || slices.ContainsFunc(lines, func(e entry) bool { return e.meta.Flags&(release.FlagSensitive|release.FlagAuth) != 0 }) {
			special[at.member] = true
		}
	}
	for at, all := range sh.held {
		if !models.IsMember(at.member) {
			continue
		}
		for _, h := range all {
			if len(h.dropped) > 0 {
				changed[at.member] = true
			}
			if at.typ == fhir.TypeProvenance || h.key.Class&ruledClass != 0 {
				special[at.member] = true
			}
		}
	}
	maps.DeleteFunc(special, func(id uuid.UUID, _ bool) bool { return !changed[id] })
	return special
}

// rawOf returns how much raw data of a member is held.
func (sh *shelf) rawOf(id uuid.UUID) (n int) {
	for _, at := range sh.places(id) {
		for _, h := range sh.held[at] {
			n += h.raw
		}
	}
	return n
}

// places returns where resources of a member are held.
func (sh *shelf) places(id uuid.UUID) []place {
	if sh.of == nil {
		sh.of = map[uuid.UUID][]place{}
		for at := range sh.held {
			sh.of[at.member] = append(sh.of[at.member], at)
		}
	}
	return sh.of[id]
}

// subject is a line that is ruled: one that came, or line number line of a held segment.
type subject struct {
	at   place
	e    entry
	in   *held
	line int
}

func (m *merger) ruleMembers(view *store.MergeTx, sh *shelf, fresh map[place][]entry, members []uuid.UUID, out released) error {
	if len(members) == 0 {
		return nil
	}
	byMember := make(map[uuid.UUID][]subject, len(members))
	for _, id := range members {
		byMember[id] = nil
	}
	for at, lines := range fresh {
		all, ok := byMember[at.member]
		if !ok {
			continue
		}
		for _, e := range lines {
			all = append(all, subject{at: at, e: e})
		}
		byMember[at.member] = all
	}
	if err := sh.subjects(view, members, byMember); err != nil {
		return err
	}
	for _, id := range members {
		if err := m.ruleMember(sh, byMember[id], out); err != nil {
			return err
		}
	}
	return nil
}

// subjects adds the held resources of members that stay, and notes what is shown of them without what is sensitive.
func (sh *shelf) subjects(view *store.MergeTx, members []uuid.UUID, byMember map[uuid.UUID][]subject) error {
	var keys []store.SegmentKey
	var want []*held
	for _, id := range members {
		for _, at := range sh.places(id) {
			for _, h := range sh.held[at] {
				if views := h.key.Class & models.ClassViews; h.key.Class&models.ClassUnruled == 0 && (views == 0 || views == models.ClassMasked) {
					keys, want = append(keys, h.key), append(want, h)
				}
			}
		}
	}
	sh.masked = map[tombKey][]byte{}
	if len(keys) == 0 {
		return nil
	}
	data, err := view.Data(keys)
	if err != nil {
		return err
	}
	for i, h := range want {
		raw, err := segment.Inflate(nil, data[i], h.raw)
		if err != nil {
			return fmt.Errorf("segment: %w", err)
		}
		at := place{h.key.Member, h.key.Type}
		for n, l := range h.lines {
			switch body := raw[l.Offset : l.Offset+l.Length]; {
			case h.dropped[n]:
			case h.key.Class&models.ClassViews != 0:
				sh.masked[tombKey{at, l.ID}] = body
			default:
				s := subject{at: at, e: entry{meta: l, body: body, class: h.key.Class & models.ClassAttachment}, in: h, line: n}
				byMember[at.member] = append(byMember[at.member], s)
			}
		}
	}
	return nil
}

// ruleMember rules a member's resources and puts those that came, and those that turn out otherwise than they are held, among
// what is to be written.
func (m *merger) ruleMember(sh *shelf, all []subject, out released) error {
	items := make([]release.Item, len(all))
	for i := range all {
		s := &all[i]
		body := s.e.body[:len(s.e.body)-1]
		items[i] = release.Item{
			Type: s.at.typ, ID: s.e.meta.ID, Line: body, Sensitive: s.e.meta.Flags&release.FlagSensitive != 0, Auth: s.e.meta.Flags&release.FlagAuth != 0,
			Updated: fhir.DayOf(time.UnixMilli(s.e.meta.LastUpdated)), Binary: madeToHold(s.at.typ, &s.e),
		}
		if s.in == nil {
			if s.e.meta.ServiceEnd != segment.NoDate {
				items[i].Dated, items[i].First, items[i].Last = true, s.e.meta.ServiceStart, s.e.meta.ServiceEnd
			}
			continue
		}
		// The days that are held with a line are those that it was ruled to have, and not its own.
		if err := fhir.Inspect(body, &m.facts); err != nil {
			return fmt.Errorf("a line that is held cannot be read: %w", err)
		}
		items[i].Dated, items[i].First, items[i].Last = m.facts.Dated, m.facts.First, m.facts.Last
	}
	member := release.Rule(items)
	for i, s := range all {
		r := member.Ruling(i)
		s.e.class = r.Class | s.e.class&models.ClassAttachment
		s.e.meta.ServiceStart, s.e.meta.ServiceEnd = segment.NoDate, segment.NoDate
		if r.Dated {
			s.e.meta.ServiceStart, s.e.meta.ServiceEnd = r.First, r.Last
		}
		var hidden func(string) bool
		if r.Linked && r.Class&models.ClassSensitive == 0 {
			hidden = member.Hidden
		}
		if s.in != nil {
			same := m.leavesAsBefore(sh, &s, hidden)
			if same && hidden == nil {
				continue
			}
			sh.replace(s.at, s.in, s.line)
			if !same {
				if err := m.touch(&s.e); err != nil {
					return err
				}
			}
		}
		m.put(out, s.at, s.e, hidden)
	}
	return nil
}

// leavesAsBefore reports whether a held line leaves for the same, for as long and in the same forms as it did.
func (m *merger) leavesAsBefore(sh *shelf, s *subject, hidden func(string) bool) bool {
	class := s.e.class
	if hidden != nil {
		class |= models.ClassLinked
	}
	was := &s.in.lines[s.line]
	if s.in.key.Class&^models.ClassFull != class || was.ServiceStart != s.e.meta.ServiceStart || was.ServiceEnd != s.e.meta.ServiceEnd {
		return false
	}
	return hidden == nil ||
		bytes.Equal(bytes.TrimSuffix(sh.masked[tombKey{s.at, s.e.meta.ID}], []byte("\n")), m.viewer.Mask(nil, s.e.body[:len(s.e.body)-1], hidden))
}

// touch makes a live import the moment at which a held line was updated, so that who has had a file without it gets it with
// the next delta. A prior authorisation whose status is dated by nothing but that moment stays as it is: it must not last longer.
func (m *merger) touch(e *entry) error {
	at := m.imp.EffectiveAt.UnixMilli()
	if m.imp.Mode != models.ImportLive || e.meta.LastUpdated >= at {
		return nil
	}
	body := e.body[:len(e.body)-1]
	if e.meta.Flags&release.FlagAuth != 0 {
		now := release.Authorize(body, fhir.DayOf(time.UnixMilli(e.meta.LastUpdated)))
		then := release.Authorize(body, fhir.DayOf(time.UnixMilli(at)))
		if now.Changed != then.Changed || now.Until != then.Until {
			return nil
		}
	}
	if err := fhir.Inspect(body, &m.facts); err != nil {
		return fmt.Errorf("a line that is held cannot be read: %w", err)
	}
	e.meta.LastUpdated, e.meta.Flags = at, e.meta.Flags|release.FlagTouched
	e.body = append(fhir.Stamp(nil, body, &m.facts, at), '\n')
	return nil
}

// put adds a line and its views to what is to be written. hidden, unless nil, tells which of its references lead to what is
// sensitive.
func (m *merger) put(out released, at place, e entry, hidden func(string) bool) {
	body := e.body[:len(e.body)-1]
	own := e.class
	full := own
	basis, financial := m.viewer.NonFinancial(nil, body, at.typ, e.meta.Flags)
	if financial {
		full |= models.ClassFull
	}
	link := func(c models.Class) models.Class {
		if hidden != nil {
			return c | models.ClassLinked
		}
		return c
	}
	out.add(at, link(full), e)
	if financial {
		out.add(at, link(own|models.ClassBasis), e.as(basis))
	}
	if hidden == nil {
		return
	}
	out.add(at, full|models.ClassMasked, e.as(m.viewer.Mask(nil, body, hidden)))
	if financial {
		out.add(at, own|models.ClassBasis|models.ClassMasked, e.as(m.viewer.Mask(nil, basis, hidden)))
	}
}

// as returns the entry with another line for the same resource.
func (e entry) as(line []byte) entry {
	e.body = append(line, '\n')
	return e
}

// replace marks a held line as gone, and with it the lines that stand for it.
func (sh *shelf) replace(at place, in *held, line int) {
	in.dropped[line], in.rewrite = true, true
	for _, v := range sh.viewsOf(at)[in.lines[line].ID] {
		v.in.dropped[v.line], v.in.rewrite = true, true
	}
}

// viewsOf returns the held lines that stand for others, by id.
func (sh *shelf) viewsOf(at place) map[string][]found {
	if views, ok := sh.views[at]; ok {
		return views
	}
	views := map[string][]found{}
	for _, h := range sh.held[at] {
		if h.key.Class&models.ClassViews == 0 {
			continue
		}
		for n, l := range h.lines {
			views[l.ID] = append(views[l.ID], found{h, n})
		}
	}
	if sh.views == nil {
		sh.views = map[place]map[string][]found{}
	}
	sh.views[at] = views
	return views
}

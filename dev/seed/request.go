package seed

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
)

// RequestOptions say what a match request holds. Together with Options they determine its bytes.
type RequestOptions struct {
	// Seed tells requests about the same roster apart: another seed asks about other members, with other mistakes.
	Seed uint64
	// Members is the number of MemberBundles, at least 1.
	Members int
	// Clean restricts the mix to kinds that a comparison of normalised family name, given name, birth date and (member id or
	// subscriber id) decides rightly. Normalised means: without case, accents, punctuation and spaces; ids also without
	// leading zeros.
	Clean bool
	// Regular is the share, 0 to 1, of consents with the policy for non-sensitive data only. 0 means three in ten; a negative
	// value means none.
	Regular float64
}

// RequestTruth is one line of the truth about a request: what became of one MemberBundle, in the order of the request.
type RequestTruth struct {
	Index int `json:"index"`
	// Expect is the Group the entry belongs in.
	Expect Outcome `json:"expect"`
	// Patient is the id of our Patient it means, "" when Expect is NoMatch.
	Patient string `json:"patient,omitempty"`
	Kind    Kind   `json:"kind"`
	// Policy is "regular", "sensitive" or "other".
	Policy string `json:"policy"`
	// Submitted is the id of the Patient in the request, which is the requester's.
	Submitted string `json:"submitted"`
	// Near is the id of a Patient on our roster that resembles a NoMatch entry and must not be disclosed for it, if any.
	Near string `json:"near,omitempty"`
}

// RequestSummary counts the entries of a request by what is expected of them.
type RequestSummary struct {
	Matched, NoMatch, Constrained int
}

// WriteRequest streams a $bulk-member-match Parameters body about the roster of o to body and one RequestTruth line an
// entry to truth. No member is asked about twice. Once the roster has no more people of a kind, strangers take their
// place, so a request may be longer than the roster. It returns an error if options are out of bounds or a write fails.
func WriteRequest(body, truth io.Writer, o Options, ro RequestOptions) (RequestSummary, error) {
	if err := o.validate(); err != nil {
		return RequestSummary{}, err
	}
	if ro.Members < 1 || !(ro.Regular <= 1) {
		return RequestSummary{}, fmt.Errorf("request: members must be at least 1 and the regular share at most 1")
	}
	b := newRequestWriter(o, ro)
	bodyBuf, truthBuf := bufio.NewWriterSize(body, 256<<10), bufio.NewWriterSize(truth, 64<<10)
	if err := b.write(bodyBuf, truthBuf); err != nil {
		return RequestSummary{}, err
	}
	if err := bodyBuf.Flush(); err != nil {
		return RequestSummary{}, fmt.Errorf("write request: %w", err)
	}
	if err := truthBuf.Flush(); err != nil {
		return RequestSummary{}, fmt.Errorf("write request truth: %w", err)
	}
	return b.summary, nil
}

type requestWriter struct {
	world
	ro                        RequestOptions
	mix                       []share
	regular                   int // permille
	present, twins, relatives *walk
	lookalikes                *walk
	strangers                 uint64
	summary                   RequestSummary
	w                         jsonWriter
}

func newRequestWriter(o Options, ro RequestOptions) *requestWriter {
	b := &requestWriter{world: o.world(), ro: ro, mix: hardMix, regular: 300}
	if ro.Clean {
		b.mix = cleanMix
	}
	if ro.Regular != 0 {
		b.regular = max(0, int(math.Round(ro.Regular*1000)))
	}
	ends := o.roster()
	present := isPresent
	if ro.Clean {
		present = isPresentNamed
	}
	b.present = newWalk(b.world, ends, ro.Seed, present)
	b.twins = newWalk(b.world, ends, ro.Seed, isAbsentTwin)
	b.relatives = newWalk(b.world, ends, ro.Seed, isAbsentRelative)
	b.lookalikes = newWalk(b.world, ends, ^ro.Seed, isPresent)
	b.strangers = strangerFamilies + mix(ro.Seed)%100_000_000
	return b
}

func (b *requestWriter) write(body, truth *bufio.Writer) error {
	b.w.obj("")
	b.w.str("resourceType", "Parameters")
	b.w.str("id", identity{seed: b.seed, key: b.ro.Seed}.id(Patient, 1<<20))
	b.w.obj("meta")
	b.w.strs("profile", pdex+"pdex-parameters-multi-member-match-bundle-in")
	b.w.end()
	b.w.arr("parameter")
	line := jsonWriter{}
	for i := range b.ro.Members {
		e := b.entry(i)
		b.bundle(&e)
		if _, err := body.Write(b.w.b); err != nil {
			return fmt.Errorf("write request: %w", err)
		}
		b.w.b = b.w.b[:0]
		if i < b.ro.Members-1 {
			b.w.b = append(b.w.b, ',', '\n')
		}
		line.b = line.b[:0]
		e.truth(&line, i)
		if _, err := truth.Write(line.b); err != nil {
			return fmt.Errorf("write request truth: %w", err)
		}
	}
	b.w.endArr()
	b.w.end()
	b.w.b = append(b.w.b, '\n')
	if _, err := body.Write(b.w.b); err != nil {
		return fmt.Errorf("write request: %w", err)
	}
	return nil
}

// entry is one MemberBundle to be.
type entry struct {
	identity
	r       rng
	kind    Kind
	said    submission
	patient string // our id of the person meant
	near    string
	policy  string
	shared  bool // the consent names a second recipient besides the requester
}

func (b *requestWriter) entry(i int) entry {
	e := entry{identity: identity{seed: mix(b.seed ^ mix(b.ro.Seed)), key: uint64(i)}}
	e.r = newRNG(e.seed, domainSubmission, uint64(i))
	e.kind = drawKind(&e.r, b.mix)
	b.choose(&e)
	e.policy = "sensitive"
	if e.r.chance(b.regular) {
		e.policy = "regular"
	}
	if e.kind == KindUnknownPolicy {
		e.policy = "other"
	}
	e.shared = e.r.chance(60)
	switch e.kind.Outcome() {
	case Matched:
		b.summary.Matched++
	case NoMatch:
		b.summary.NoMatch++
	case Constrained:
		b.summary.Constrained++
	}
	return e
}

// choose finds the person an entry is about and distorts what is said of them.
func (b *requestWriter) choose(e *entry) {
	switch e.kind {
	case KindStranger, KindNoConsent:
		b.stranger(e)
	case KindLookalike:
		b.lookalike(e)
	case KindAbsentTwin:
		b.absent(e, b.twins)
	case KindAbsentRelative:
		b.absent(e, b.relatives)
	default:
		h, p := b.present.person()
		if p == nil {
			e.kind = KindStranger
			b.stranger(e)
			return
		}
		e.said, e.patient = submissionOf(h, p), p.id(Patient, 0)
		e.distort()
	}
}

// distort applies the entry's kind of distortion or, where the person offers nothing to distort, the next that works.
func (e *entry) distort() {
	for _, list := range [...][]distorter{cleanDistortions, hardDistortions} {
		at := slices.IndexFunc(list, func(d distorter) bool { return d.kind == e.kind })
		for i := 0; at >= 0 && i < len(list); i++ {
			d := list[(at+i)%len(list)]
			if d.apply(&e.r, &e.said) {
				e.kind = d.kind
				return
			}
		}
	}
}

func (b *requestWriter) stranger(e *entry) {
	h := b.household(b.strangers)
	b.strangers++
	e.said = submissionOf(h, &h.people[e.r.n(len(h.people))])
}

func (b *requestWriter) absent(e *entry, from *walk) {
	h, p := from.person()
	if p == nil {
		e.kind = KindStranger
		b.stranger(e)
		return
	}
	e.said = submissionOf(h, p)
	for i := range h.people {
		o := &h.people[i]
		if !o.absent && (e.near == "" || o.twin && p.twin) {
			e.near = o.id(Patient, 0)
		}
	}
}

func (b *requestWriter) lookalike(e *entry) {
	_, p := b.lookalikes.person()
	b.stranger(e)
	if p == nil {
		e.kind = KindStranger
		return
	}
	e.near = p.id(Patient, 0)
	e.said.family, e.said.given, e.said.suffix, e.said.female, e.said.born = p.family, p.given, p.suffix, p.female, p.born
}

func (e *entry) truth(w *jsonWriter, i int) {
	w.obj("")
	w.num("index", i)
	outcome := e.kind.Outcome()
	w.str("expect", string(outcome))
	if outcome != NoMatch {
		w.str("patient", e.patient)
	}
	w.str("kind", string(e.kind))
	w.str("policy", e.policy)
	w.str("submitted", e.id(Patient, 0))
	if e.near != "" {
		w.str("near", e.near)
	}
	w.end()
	w.b = append(w.b, '\n')
}

package fhir

import (
	"bytes"

	"pdexbulk/models/fhir/checked"
)

// PriorAuthProfile is the canonical of the PDex Prior Authorization profile of ExplanationOfBenefit.
const PriorAuthProfile = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-priorauthorization"

// Use is the use element of a Claim, ClaimResponse or ExplanationOfBenefit.
type Use uint8

// The uses (http://hl7.org/fhir/claim-use). UseNone also stands for any other value.
const (
	UseNone Use = iota
	UseClaim
	UsePreauthorization
	UsePredetermination
)

// Facts is what Inspect learns of a line. Its byte slices point into the line, or into memory of Facts itself where the
// text had escapes: they are valid until the next Inspect with the same Facts or until the line changes. The zero value is
// ready; reuse one Facts for many lines to avoid allocation.
type Facts struct {
	Type int16  // see TypeCode
	ID   []byte // the logical id

	// Patient is the id of the Patient the resource belongs to: its own for a Patient, else what the elements of the
	// type's rule refer to. Nil when they name none (only a display, an identifier, a contained resource, or not a Patient).
	Patient []byte
	// Named is set when those of the elements that say whom it is about are there, whether or not they lead to a Patient.
	Named bool
	// Others is set when those elements name further patients too: the resource is not about Patient alone.
	Others bool
	// Target is the first target reference of a Provenance, as written.
	Target []byte

	VersionID      []byte // meta.versionId
	HasLastUpdated bool
	LastUpdated    int64 // meta.lastUpdated, milliseconds since the epoch
	// Sensitive: meta.security carries a label of restricted or specially protected information (labels.go).
	Sensitive bool
	// PriorAuth: use is preauthorization, or meta.profile names PriorAuthProfile.
	PriorAuth bool
	Use       Use

	// Dated says that First and Last hold the days of service, both included; partial dates are widened, open periods
	// reach MinDay or MaxDay. A type without a date of service in the table, or a resource without one, is not dated.
	Dated       bool
	First, Last Day
	// BadDate: a date of service could not be read and was passed over.
	BadDate bool

	// Codes are the offsets at which the values of members called code begin, anywhere in the line.
	Codes []int32
	// Money is set when the line may hold an amount of money whatever its type: a member is called currency or ends in Money, a
	// system is that of currencies, or it holds another resource.
	Money bool

	scan     scanner
	text     []byte // unescaped strings
	subject  bool   // an element of the first patient paths is present
	ended    bool   // it is said to have ended
	patients [2][]byte
	others   [2]bool
	when     [3]span
	splice   splice
	members  [MaxMembers]member
}

type span struct {
	dated       bool
	first, last Day
}

func (s *span) add(first, last Day) {
	if !s.dated {
		*s = span{true, first, last}
		return
	}
	s.first, s.last = min(s.first, first), max(s.last, last)
}

// member is the name of an element of the resource object.
type member struct{ start, end int32 }

// Inspect reads one NDJSON line, without its line break, in one pass and fills f. It accepts only what is JSON by RFC 8259,
// in valid UTF-8, at most MaxDepth deep, with no name twice among the members of the resource or of an element that it
// looks into, and with a known resourceType and a legal id. The error is a *Reject and holds no content; f is then
// meaningless.
func Inspect(line []byte, f *Facts) error {
	f.reset(line)
	if len(line) > maxBytes {
		return &Reject{Reason: ReasonTooLong, Offset: maxBytes}
	}
	if f.read() < 0 {
		return &Reject{Reason: f.scan.reason, Offset: f.scan.at}
	}
	f.settle()
	return nil
}

func (f *Facts) reset(line []byte) {
	f.Type, f.ID = 0, nil
	f.Patient, f.Named, f.Others, f.Target = nil, false, false, nil
	f.VersionID, f.HasLastUpdated, f.LastUpdated = nil, false, 0
	f.Sensitive, f.PriorAuth, f.Use = false, false, UseNone
	f.Dated, f.First, f.Last, f.BadDate = false, 0, 0, false
	f.scan = scanner{b: line, blank: lineBlanks, codes: f.Codes[:0]}
	f.Codes, f.Money = f.Codes[:0], false
	f.text = f.text[:0]
	f.subject, f.ended = false, false
	f.patients, f.others = [2][]byte{}, [2]bool{}
	f.when = [3]span{}
	f.splice = splice{}
}

// settle chooses among what was found: the subject over other participants, the preferred date over its stand-ins.
func (f *Facts) settle() {
	f.Codes, f.Money = f.scan.codes, f.scan.money || f.scan.resources > 1
	f.Named = f.subject
	switch {
	case f.Type == TypePatient:
		f.Patient = f.ID
	case f.patients[0] != nil:
		f.Patient, f.Others = f.patients[0], f.others[0]
	case !f.subject:
		f.Patient, f.Others = f.patients[1], f.others[1]
	}
	for _, w := range f.when {
		if w.dated {
			f.Dated, f.First, f.Last = true, w.first, w.last
			break
		}
	}
	if f.Dated && byType[f.Type].ongoing && !f.ended {
		f.Last = MaxDay
	}
	if f.Use == UsePreauthorization {
		f.PriorAuth = true
	}
}

// read reads the whole line.
func (f *Facts) read() int {
	s := &f.scan
	start := s.space(0)
	if start >= len(s.b) || s.b[start] != '{' {
		if s.document() < 0 {
			return stop
		}
		return s.fail(ReasonNoType, start)
	}
	if f.Type = f.findType(start + 1); f.Type == 0 {
		return stop
	}
	s.codes, s.money, s.resources = s.codes[:0], false, 0 // what stands before the type is read again
	i := f.resource(start + 1)
	if i < 0 {
		return stop
	}
	if i = s.space(i); i != len(s.b) {
		return s.fail(ReasonNotJSON, i)
	}
	if f.ID == nil {
		return s.fail(ReasonNoID, start)
	}
	return i
}

// findType looks for resourceType among the members of the resource, because it says what the others mean. It comes first
// in nearly all lines; when it does not, what stands before it is read twice.
func (f *Facts) findType(i int) int16 {
	s := &f.scan
	if i = s.space(i); i < len(s.b) && s.b[i] == '}' {
		s.fail(ReasonNoType, i)
		return 0
	}
	for more := true; more; {
		start, end, value := s.key(i)
		if value < 0 {
			return 0
		}
		if string(s.b[start:end]) == "resourceType" {
			name, after := f.string(value, ReasonNoType)
			if after < 0 {
				return 0
			}
			code, ok := typeCodes[string(name)]
			if !ok {
				s.fail(ReasonUnknownType, value)
			}
			return code
		}
		if i = s.skip(value, 1); i < 0 {
			return 0
		}
		if i, more = s.next(i, '}'); i < 0 {
			return 0
		}
	}
	s.fail(ReasonNoType, i-1)
	return 0
}

// resource reads the members of the resource, from behind its opening brace.
func (f *Facts) resource(i int) int {
	s := &f.scan
	root := &byType[f.Type].root
	var seen uint64
	count := 0
	for more := true; more; {
		start, end, value := s.key(i)
		if value < 0 {
			return stop
		}
		name := s.b[start:end]
		if i = f.unique(name, start, count, &seen); i < 0 {
			return stop
		}
		count++
		switch string(name) {
		case "resourceType":
			_, i = f.string(value, ReasonNoType)
		case "id":
			f.ID, i = f.string(value, ReasonBadID)
			f.splice.idEnd = i
			if i >= 0 && !validID(f.ID) {
				return s.fail(ReasonBadID, value)
			}
		case "meta":
			i = f.meta(value)
		default:
			e := root.find(name)
			if e < 0 {
				i = s.skip(value, 1)
				break
			}
			f.subject = f.subject || root.edges[e].subject
			f.ended = f.ended || root.edges[e].ends
			i = f.walk(value, 1, root.edges[e].child)
		}
		if i < 0 {
			return stop
		}
		if i, more = s.next(i, '}'); i < 0 {
			return stop
		}
	}
	return i
}

// unique refuses a member name that came before. One bit a name, from a cheap hash, spares most comparisons.
func (f *Facts) unique(name []byte, start, count int, seen *uint64) int {
	if count == MaxMembers {
		return f.scan.fail(ReasonTooManyMembers, start)
	}
	bit := uint64(1)
	if n := len(name); n > 0 {
		bit <<= (uint(n)*7 + uint(name[0])*3 + uint(name[n/2])*5 + uint(name[n-1])*11) & 63
	}
	if *seen&bit != 0 {
		for _, m := range f.members[:count] {
			if bytes.Equal(name, f.scan.b[m.start:m.end]) {
				return f.scan.fail(ReasonDuplicateKey, start)
			}
		}
	}
	*seen |= bit
	f.members[count] = member{int32(start), int32(start + len(name))}
	return start
}

// string reads a value that must be a string and returns its text; anything else fails with the reason given.
func (f *Facts) string(i int, reason Reason) (text []byte, after int) {
	s := &f.scan
	if i >= len(s.b) || s.b[i] != '"' {
		return nil, s.fail(reason, i)
	}
	s.escaped = false
	end := s.str(i + 1)
	if end < 0 {
		return nil, stop
	}
	return f.plain(i+1, end), end + 1
}

// plain returns the text of the string literal between two offsets that was just read.
func (f *Facts) plain(start, end int) []byte {
	raw := f.scan.b[start:end:end]
	if !f.scan.escaped {
		return raw
	}
	from := len(f.text)
	f.text = checked.Unquote(f.text, raw)
	return f.text[from:len(f.text):len(f.text)]
}

// walk reads a value at which or below which something is of interest.
func (f *Facts) walk(i, depth int, n *node) int {
	s := &f.scan
	if i >= len(s.b) {
		return s.fail(ReasonNotJSON, i)
	}
	switch s.b[i] {
	case '"':
		s.escaped = false
		end := s.str(i + 1)
		if end < 0 {
			return stop
		}
		f.note(n, f.plain(i+1, end))
		return end + 1
	case '[':
		if depth == MaxDepth {
			return s.fail(ReasonTooDeep, i)
		}
		return f.list(i+1, depth+1, n)
	case '{':
		if depth == MaxDepth {
			return s.fail(ReasonTooDeep, i)
		}
		return f.object(i+1, depth+1, n)
	}
	return s.skip(i, depth)
}

func (f *Facts) list(i, depth int, n *node) int {
	s := &f.scan
	if i = s.space(i); i < len(s.b) && s.b[i] == ']' {
		return i + 1
	}
	for more := true; more; {
		if i = f.walk(s.space(i), depth, n); i < 0 {
			return stop
		}
		if i, more = s.next(i, ']'); i < 0 {
			return stop
		}
	}
	return i
}

func (f *Facts) object(i, depth int, n *node) int {
	s := &f.scan
	if i = s.space(i); i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	var seen uint64
	for more := true; more; {
		start, end, value := s.key(i)
		if value < 0 {
			return stop
		}
		if e := n.find(s.b[start:end]); e >= 0 {
			if seen&(1<<e) != 0 {
				return s.fail(ReasonDuplicateKey, start)
			}
			seen |= 1 << e
			i = f.walk(value, depth, n.edges[e].child)
		} else {
			i = s.skip(value, depth)
		}
		if i < 0 {
			return stop
		}
		if i, more = s.next(i, '}'); i < 0 {
			return stop
		}
	}
	if n.act == actWhen && !n.closed {
		f.open(n, seen)
	}
	return i
}

// open stretches the dates of a period of which one end is not given.
func (f *Facts) open(n *node, seen uint64) {
	var start, end bool
	for e := range n.edges {
		present := seen&(1<<e) != 0
		start = start || present && n.edges[e].child.act == actStart
		end = end || present && n.edges[e].child.act == actEnd
	}
	w := &f.when[n.rank]
	if start == end || !w.dated {
		return
	}
	if start {
		w.last = MaxDay
	} else {
		w.first = MinDay
	}
}

// note takes in the text of an element of interest.
func (f *Facts) note(n *node, text []byte) {
	switch n.act {
	case actNone:
	case actReference:
		f.refer(n, text)
	case actTarget:
		if f.Target == nil {
			f.Target = text
		}
		f.refer(n, text)
	case actWhen, actStart, actEnd:
		d, ok := parseDate(text)
		if !ok {
			f.BadDate = true
			return
		}
		f.when[n.rank].add(d.First, d.Last)
	case actUse:
		f.Use = useOf(text)
	case actProfile:
		canonical, _, _ := bytes.Cut(text, []byte("|"))
		f.PriorAuth = f.PriorAuth || string(canonical) == PriorAuthProfile
	case actEnded:
		switch string(text) {
		case "inactive", "remission", "resolved":
			f.ended = true
		}
	}
}

func (f *Facts) refer(n *node, reference []byte) {
	id := patientID(reference, n.urn)
	switch was := f.patients[n.rank]; {
	case id == nil:
	case was == nil:
		f.patients[n.rank] = id
	case !bytes.Equal(was, id):
		f.others[n.rank] = true
	}
}

func useOf(code []byte) Use {
	switch string(code) {
	case "claim":
		return UseClaim
	case "preauthorization":
		return UsePreauthorization
	case "predetermination":
		return UsePredetermination
	}
	return UseNone
}

// ResourceType returns the name of f.Type.
func (f *Facts) ResourceType() string { return TypeName(f.Type) }

// InCompartment reports whether the type is in the Patient compartment.
func (f *Facts) InCompartment() bool { return InPatientCompartment(f.Type) }

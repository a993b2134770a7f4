package bulk

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"unicode"
	"unicode/utf8"
)

// document reads one JSON object from a stream without holding more of it than one value. It finds where values begin and
// end; whether what lies between is sound is for fhir.Check to say.
type document struct {
	in  *bufio.Reader
	buf []byte // the value last read
}

var (
	errSyntax  = errors.New("not JSON")
	errTooLong = errors.New("value too long")
)

func newDocument(r io.Reader) *document { return &document{in: bufio.NewReaderSize(r, 64<<10)} }

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// peek skips blanks and returns the byte that follows, which stays unread. io.EOF at the end.
func (d *document) peek() (byte, error) {
	for {
		c, err := d.in.ReadByte()
		if err != nil {
			return 0, err
		}
		if !blank(c) {
			return c, d.in.UnreadByte()
		}
	}
}

// take skips blanks and one byte, which must be one of want.
func (d *document) take(want string) (byte, error) {
	c, err := d.peek()
	if err != nil {
		return 0, unexpected(err)
	}
	for i := range len(want) {
		if c == want[i] {
			_, err := d.in.ReadByte()
			return c, err
		}
	}
	return 0, errSyntax
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// value reads one value of any kind, at most limit bytes long, else errTooLong. It is valid until the next call.
func (d *document) value(limit int) ([]byte, error) {
	if _, err := d.peek(); err != nil {
		return nil, unexpected(err)
	}
	d.buf = d.buf[:0]
	var x extent
	for {
		if _, err := d.in.Peek(1); err != nil {
			if errors.Is(err, io.EOF) && x.bare && len(d.buf) > 0 {
				return d.buf, nil
			}
			return nil, unexpected(err)
		}
		window, _ := d.in.Peek(d.in.Buffered())
		n, ended := x.scan(window)
		if len(d.buf)+n > limit {
			return nil, errTooLong
		}
		d.buf = append(d.buf, window[:n]...)
		_, _ = d.in.Discard(n) // it was peeked at
		if ended {
			if len(d.buf) == 0 {
				return nil, errSyntax
			}
			return d.buf, nil
		}
	}
}

// extent finds the end of a value in the pieces it comes in.
type extent struct {
	depth   int
	quoted  bool // inside a string
	escaped bool // behind a backslash
	bare    bool // in a number, true, false or null, which end with what follows them
}

// scan returns how many bytes of the piece belong to the value, and whether it ends there.
func (x *extent) scan(b []byte) (n int, ended bool) {
	for i, c := range b {
		if x.quoted {
			switch {
			case x.escaped:
				x.escaped = false
			case c == '\\':
				x.escaped = true
			case c == '"':
				x.quoted = false
				if x.depth == 0 {
					return i + 1, true
				}
			}
			continue
		}
		switch c {
		case '"':
			if x.bare && x.depth == 0 {
				return i, true
			}
			x.quoted = true
		case '{', '[':
			if x.bare && x.depth == 0 {
				return i, true
			}
			x.depth++
		case '}', ']':
			if x.depth == 0 {
				return i, true
			}
			if x.depth--; x.depth == 0 {
				return i + 1, true
			}
		case ',', ':', ' ', '\t', '\n', '\r':
			if x.depth == 0 {
				return i, true
			}
		default:
			x.bare = x.bare || x.depth == 0
		}
	}
	return len(b), false
}

// members yields the members of an object in sound JSON: name without its quotes, as it is written, and value.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := skipBlank(object, 1); object[i] != '}'; {
			name := valueEnd(object, i)
			from := skipBlank(object, skipBlank(object, name)+1)
			end := valueEnd(object, from)
			if !yield(string(object[i+1:name-1]), object[from:end]) {
				return
			}
			if i = skipBlank(object, end); object[i] == ',' {
				i = skipBlank(object, i+1)
			}
		}
	}
}

// elements yields the elements of a list in sound JSON, with their index.
func elements(list []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		n := 0
		for i := skipBlank(list, 1); list[i] != ']'; n++ {
			end := valueEnd(list, i)
			if !yield(n, list[i:end]) {
				return
			}
			if i = skipBlank(list, end); list[i] == ',' {
				i = skipBlank(list, i+1)
			}
		}
	}
}

func skipBlank(b []byte, i int) int {
	for blank(b[i]) {
		i++
	}
	return i
}

func valueEnd(b []byte, i int) int {
	var x extent
	n, _ := x.scan(b[i:])
	return i + n
}

// unambiguous reports whether no object anywhere in a value, which is sound JSON, has two members of one name. Case does not
// tell names apart: a reader that is not strict about it could take either.
func unambiguous(value []byte) bool {
	var u uniqueNames
	_, ok := u.value(value, skipBlank(value, 0))
	return ok
}

// uniqueNames holds the names of the objects that are open, one behind the other.
type uniqueNames struct {
	text  []byte
	names [][2]int        // bounds in text
	first int             // of names: the first of the innermost object
	many  map[string]bool // the names of the innermost object, once they are a crowd
}

// value checks the value at i, which is no blank, and returns where it ends. fhir.Check has bounded how deep it can go.
func (u *uniqueNames) value(b []byte, i int) (end int, ok bool) {
	switch b[i] {
	case '{':
		return u.object(b, i)
	case '[':
		i = skipBlank(b, i+1)
		for b[i] != ']' {
			if i, ok = u.value(b, i); !ok {
				return i, false
			}
			if i = skipBlank(b, i); b[i] == ',' {
				i = skipBlank(b, i+1)
			}
		}
		return i + 1, true
	default:
		return valueEnd(b, i), true
	}
}

func (u *uniqueNames) object(b []byte, i int) (end int, ok bool) {
	outer := *u
	u.first, u.many = len(u.names), nil
	for i = skipBlank(b, i+1); b[i] != '}'; {
		after := valueEnd(b, i)
		if !u.add(string(b[i+1 : after-1])) {
			return i, false
		}
		if i, ok = u.value(b, skipBlank(b, skipBlank(b, after)+1)); !ok {
			return i, false
		}
		if i = skipBlank(b, i); b[i] == ',' {
			i = skipBlank(b, i+1)
		}
	}
	// The object is closed. The slices keep what room they have won.
	u.names, u.text = u.names[:len(outer.names)], u.text[:len(outer.text)]
	u.first, u.many = outer.first, outer.many
	return i + 1, true
}

// crowd is from how many members on an object's names are looked up in a map.
const crowd = 24

// add takes the next name of the innermost object and reports whether it is a new one.
func (u *uniqueNames) add(name string) bool {
	from := len(u.text)
	for _, r := range name {
		u.text = utf8.AppendRune(u.text, folded(r))
	}
	this := u.text[from:]
	u.names = append(u.names, [2]int{from, len(u.text)})
	siblings := u.names[u.first : len(u.names)-1]
	if len(siblings) < crowd {
		for _, n := range siblings {
			if string(u.text[n[0]:n[1]]) == string(this) {
				return false
			}
		}
		return true
	}
	if u.many == nil {
		u.many = make(map[string]bool, 4*crowd)
		for _, n := range siblings {
			u.many[string(u.text[n[0]:n[1]])] = true
		}
	}
	if u.many[string(this)] {
		return false
	}
	u.many[string(this)] = true
	return true
}

// folded returns the one of a letter's forms that stands for all of them.
func folded(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

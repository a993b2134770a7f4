package match

// slips returns how many slips of the keyboard part two strings: a byte changed, dropped, added, or two neighbours exchanged
// (optimal string alignment). It stops counting at 3. Strings are compared byte by byte: folded names are nearly all ASCII.
func slips(a, b string) int {
	const most = 3
	if a == b {
		return 0
	}
	if d := len(a) - len(b); d >= most || -d >= most || len(a) > maxSlipped || len(b) > maxSlipped {
		return most
	}
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var rows [3][maxSlipped + 1]uint8
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = uint8(j)
	}
	for i := range len(a) {
		row[0] = uint8(i + 1)
		least := row[0]
		for j := range len(b) {
			cost := uint8(1)
			if a[i] == b[j] {
				cost = 0
			}
			d := min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row[j+1] = d
			least = min(least, d)
		}
		if least >= most {
			return most
		}
		before, last, row = last, row, before
	}
	return min(most, int(last[len(b)]))
}

// oneSlip returns what is one slip from a word, of the letters from a to z.
func oneSlip(word string) []string {
	if len(word) > 20 { // nobody's name
		return nil
	}
	var out []string
	for i := range len(word) + 1 {
		head, tail := word[:i], word[i:]
		for c := 'a'; c <= 'z'; c++ {
			out = append(out, head+string(c)+tail)
			if tail != "" {
				out = append(out, head+string(c)+tail[1:])
			}
		}
		if tail != "" {
			out = append(out, head+tail[1:])
		}
		if len(tail) > 1 {
			out = append(out, head+tail[1:2]+tail[:1]+tail[2:])
		}
	}
	return out
}

// maxSlipped bounds the strings that slips takes apart.
const maxSlipped = 64

// sound returns a code for names that sound alike, in the manner of Soundex but without its limit of four places and with
// the first letter coded as well: what is typed wrong most often are vowels, doubled letters and letters of one group.
func sound(name string) string {
	var code [8]byte
	n := 0
	var last byte
	for i := 0; i < len(name) && n < len(code); i++ {
		c := soundOf(name[i])
		if c != 0 && c != last {
			code[n] = c
			n++
		}
		if c != 0 || !isBreath(name[i]) {
			last = c
		}
	}
	if n == 0 && name != "" {
		return name[:1]
	}
	return string(code[:n])
}

// isBreath reports whether a letter does not part two letters of one group.
func isBreath(c byte) bool { return c == 'h' || c == 'w' }

func soundOf(c byte) byte {
	switch c {
	case 'b', 'f', 'p', 'v':
		return '1'
	case 'c', 'g', 'j', 'k', 'q', 's', 'x', 'z':
		return '2'
	case 'd', 't':
		return '3'
	case 'l':
		return '4'
	case 'm', 'n':
		return '5'
	case 'r':
		return '6'
	case 'a', 'e', 'i', 'o', 'u', 'y', 'h', 'w', ' ':
		return 0
	}
	return c // digits and other scripts stand for themselves
}

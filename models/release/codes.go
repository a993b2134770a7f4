package release

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/fhir/checked"
)

// maxCode is the longest code that is looked up, without its dots. FHIR sets no limit; no system in the lists needs more.
const maxCode = 24

//go:embed codes/*.tsv
var codeFiles embed.FS

// codeSystems are the spellings of the systems that the lists name by a word.
var codeSystems = map[string][]string{
	"icd10":   {"http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-10", "urn:oid:2.16.840.1.113883.6.90", "urn:oid:2.16.840.1.113883.6.3"},
	"snomed":  {"http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"},
	"loinc":   {"http://loinc.org", "https://loinc.org", "urn:oid:2.16.840.1.113883.6.1"},
	"rxnorm":  {"http://www.nlm.nih.gov/research/umls/rxnorm", "urn:oid:2.16.840.1.113883.6.88"},
	"cpt":     {"http://www.ama-assn.org/go/cpt", "https://www.ama-assn.org/go/cpt", "urn:oid:2.16.840.1.113883.6.12"},
	"hcpcs":   {"http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "https://bluebutton.cms.gov/resources/codesystem/hcpcs", "urn:oid:2.16.840.1.113883.6.285"},
	"revenue": {"https://www.nubc.org/CodeSystem/RevenueCodes", "http://www.nubc.org/CodeSystem/RevenueCodes"},
	"pos":     {"https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set", "http://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"},
}

// Codes tells sensitive codes. The zero value knows none; it is safe for concurrent use.
type Codes struct {
	exact    map[string][]string   // systems by code
	prefixes []map[string][]string // by length, systems by what the code begins with
}

// Categories returns the names of the lists that come with the program.
func Categories() []string {
	entries, err := codeFiles.ReadDir("codes")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".tsv"))
	}
	return names
}

// ReadCodes reads lists: those named by category, and files named by a path that ends in .tsv. The error is a models.Error.
func ReadCodes(lists []string) (*Codes, error) {
	c := &Codes{exact: map[string][]string{}}
	known := Categories()
	for _, name := range lists {
		open := func() (io.ReadCloser, error) { return codeFiles.Open("codes/" + name + ".tsv") }
		switch {
		case strings.HasSuffix(name, ".tsv"):
			open = func() (io.ReadCloser, error) { return os.Open(filepath.Clean(name)) }
		case !slices.Contains(known, name):
			return nil, models.Errorf(models.KindInvalid, "no such list of codes; there are %s, and paths that end in .tsv", strings.Join(known, ", "))
		}
		if err := c.readFile(open); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Codes) readFile(open func() (io.ReadCloser, error)) error {
	f, err := open()
	if err != nil {
		return models.Errorf(models.KindInvalid, "a list of codes cannot be opened").Because(err)
	}
	defer f.Close()
	if err := c.read(f); err != nil {
		return models.Errorf(models.KindInvalid, "a list of codes is not what it must be: %s", err)
	}
	return nil
}

func (c *Codes) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		system, code, ok := strings.Cut(line, "\t")
		if !ok || !c.add(system, strings.ReplaceAll(strings.TrimSpace(code), ".", "")) {
			return fmt.Errorf("line %d", n)
		}
	}
	return lines.Err()
}

// maxRange is how many codes one range may stand for.
const maxRange = 10_000

func (c *Codes) add(system, code string) bool {
	systems := codeSystems[system]
	if systems == nil {
		if !strings.Contains(system, ":") {
			return false
		}
		systems = []string{system}
	}
	if len(code) > 2*maxCode || code == "" {
		return false
	}
	if prefix, ok := strings.CutSuffix(code, "*"); ok {
		if prefix == "" || len(prefix) > maxCode {
			return false
		}
		for len(c.prefixes) <= len(prefix) {
			c.prefixes = append(c.prefixes, nil)
		}
		if c.prefixes[len(prefix)] == nil {
			c.prefixes[len(prefix)] = map[string][]string{}
		}
		c.prefixes[len(prefix)][prefix] = append(c.prefixes[len(prefix)][prefix], systems...)
		return true
	}
	// A LOINC number has a hyphen of its own, before a single check digit.
	first, last, ranged := strings.Cut(code, "-")
	if !ranged || len(first) != len(last) {
		if len(code) > maxCode {
			return false
		}
		c.exact[code] = append(c.exact[code], systems...)
		return true
	}
	at := []byte(first)
	for range maxRange {
		c.exact[string(at)] = append(c.exact[string(at)], systems...)
		if string(at) == last {
			return true
		}
		if !increment(at) {
			return false
		}
	}
	return false
}

// increment adds one to the digits that a code ends in.
func increment(code []byte) bool {
	for i := len(code) - 1; i >= 0 && '0' <= code[i] && code[i] <= '9'; i-- {
		if code[i] < '9' {
			code[i]++
			return true
		}
		code[i] = '0'
	}
	return false
}

// Sensitive reports whether a line has one of the codes as the code of a Coding of its system. at are the offsets at which the values
// of members called code begin in it (fhir.Facts). Words in displays and texts are not read.
func (c *Codes) Sensitive(line []byte, at []int32) bool {
	if c == nil || len(c.exact) == 0 && len(c.prefixes) == 0 {
		return false
	}
	for _, i := range at {
		end := checked.Value(line, int(i))
		systems := c.systems(str(line, int(i), end))
		if len(systems) == 0 {
			continue
		}
		// The code is in the lists. Nearly always its system stands right before it, else it takes a proper reading.
		if system, ok := systemOf(line, int(i), end); ok {
			if slices.Contains(systems, string(system)) {
				return true
			}
			continue
		}
		found := false
		codings(line, checked.Blanks(line, 0), func(system, code []byte) {
			found = found || slices.Contains(c.systems(code), string(system))
		})
		return found
	}
	return false
}

var codeName, systemName, displayName = []byte(`","code":`), []byte(`"system":"`), []byte(`,"display":"`)

// systemOf returns the system of the Coding whose code begins at i and ends at end, if it is written {"system":"...","code":"..."},
// perhaps with a display behind, and so has one system and no more.
func systemOf(line []byte, i, end int) (system []byte, ok bool) {
	before, ok := bytes.CutSuffix(line[:i], codeName)
	if !ok {
		return nil, false
	}
	from := bytes.LastIndexByte(before, '"') + 1
	if open, ok := bytes.CutSuffix(before[:from], systemName); !ok || len(open) == 0 || open[len(open)-1] != '{' {
		return nil, false
	}
	if bytes.HasPrefix(line[end:], displayName) {
		end = checked.Closing(line, end+len(displayName))
	}
	if end >= len(line) || line[end] != '}' || bytes.IndexByte(before[from:], '\\') >= 0 {
		return nil, false
	}
	return before[from:], true
}

// systems returns the systems in which a code is in the lists.
func (c *Codes) systems(code []byte) []string {
	var bare [maxCode]byte
	n := 0
	for _, b := range code {
		if b == '.' {
			continue
		}
		if n == maxCode {
			return nil
		}
		if 'a' <= b && b <= 'z' {
			b -= 'a' - 'A'
		}
		bare[n] = b
		n++
	}
	found := c.exact[string(bare[:n])]
	for l := 1; l < len(c.prefixes) && l <= n; l++ {
		if p := c.prefixes[l][string(bare[:l])]; len(p) > 0 {
			found = append(slices.Clip(found), p...)
		}
	}
	return found
}

// codings calls fn with system and code of every object below the value at i that has a code.
func codings(b []byte, i int, fn func(system, code []byte)) {
	if i >= len(b) {
		return
	}
	switch b[i] {
	case '[':
		elements(b, i, func(s, _ int) bool { codings(b, s, fn); return true })
	case '{':
		var system, code []byte
		members(b, i, func(name []byte, s, e int) bool {
			switch string(name) {
			case "system":
				system = str(b, s, e)
			case "code":
				code = str(b, s, e)
			}
			codings(b, s, fn)
			return true
		})
		if code != nil {
			fn(system, code)
		}
	}
}

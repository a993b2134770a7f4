package fhir

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Attached is an Attachment whose url names a Binary.
type Attached struct {
	Binary string // the Binary's id
	// Relative is set when the url is Binary/id: it can only mean a Binary of where the line came from. An absolute one may be
	// another server's.
	Relative bool
	// Start and End are where the value of url stands in the line, quotes included.
	Start, End int
	// Typed says that the Attachment has a contentType.
	Typed bool
}

var binaryName = []byte("Binary")

// Attachments returns every Attachment of a line whose url names a Binary, in the order of their urls. The line must have
// passed Inspect. A line that does not name Binary costs one search for the word.
//
// Any object below the resource that has a url is taken for an Attachment, unless it is an Extension: of the types that are
// about a patient no other element has one.
func Attachments(line []byte) []Attached {
	if !bytes.Contains(line, binaryName) {
		return nil
	}
	f := attachmentFinder{line: line, dec: json.NewDecoder(bytes.NewReader(line))}
	f.dec.UseNumber()
	if !f.value(0, false) {
		return nil
	}
	return f.found
}

type attachmentFinder struct {
	line  []byte
	dec   *json.Decoder
	found []Attached
}

// value reads one value; extension says that it is the value of a member that holds Extensions.
func (f *attachmentFinder) value(depth int, extension bool) bool {
	token, err := f.dec.Token()
	if err != nil {
		return false
	}
	switch token {
	case json.Delim('['):
		for f.dec.More() {
			if !f.value(depth, extension) {
				return false
			}
		}
		_, err = f.dec.Token()
	case json.Delim('{'):
		return f.object(depth, extension)
	}
	return err == nil
}

func (f *attachmentFinder) object(depth int, extension bool) bool {
	first, typed := len(f.found), false
	for f.dec.More() {
		token, err := f.dec.Token()
		if err != nil {
			return false
		}
		name, _ := token.(string)
		if name != "url" && name != "contentType" || depth == 0 || extension {
			if !f.value(depth+1, name == "extension" || name == "modifierExtension") {
				return false
			}
			continue
		}
		before := f.dec.InputOffset()
		var raw json.RawMessage
		if f.dec.Decode(&raw) != nil {
			return false
		}
		var text string
		if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
			continue
		}
		if name == "contentType" {
			typed = text != ""
			continue
		}
		if id, relative, ok := binaryID(text); ok {
			start := int(before) + bytes.IndexByte(f.line[before:], '"')
			f.found = append(f.found, Attached{Binary: id, Relative: relative, Start: start, End: start + len(raw)})
		}
	}
	for i := first; i < len(f.found); i++ {
		f.found[i].Typed = f.found[i].Typed || typed
	}
	_, err := f.dec.Token()
	return err == nil
}

// binaryID returns the id of the Binary that a url names.
func binaryID(url string) (id string, relative, ok bool) {
	url, _, _ = strings.Cut(url, "/_history/")
	if id, relative = strings.CutPrefix(url, "Binary/"); relative {
		return id, true, ValidID(id)
	}
	if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		return "", false, false
	}
	i := strings.LastIndex(url, "/Binary/")
	if i < 0 {
		return "", false, false
	}
	id = url[i+len("/Binary/"):]
	return id, false, ValidID(id)
}

// ReplaceAttachments appends line to dst with the urls of found, which Attachments returned for it, replaced by what url
// gives for each, and with the contentType that it gives where an Attachment has none. An empty url leaves the old one.
func ReplaceAttachments(dst, line []byte, found []Attached, url func(Attached) (url, contentType string)) []byte {
	at := 0
	for _, a := range found {
		to, contentType := url(a)
		if to == "" {
			continue
		}
		dst = append(dst, line[at:a.Start]...)
		dst = appendString(dst, to)
		if !a.Typed && contentType != "" {
			dst = append(dst, `,"contentType":`...)
			dst = appendString(dst, contentType)
		}
		at = a.End
	}
	return append(dst, line[at:]...)
}

func appendString(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // no string makes it fail
		panic(err)
	}
	return append(dst, text...)
}

package activities

import (
	"bytes"
	"encoding/json"
	"slices"

	"pdexbulk/models"
	"pdexbulk/models/fhir/checked"
)

// contained is the copy of a submitted resource that a Group contains: without the version, its instant, its labels, and what it contains
// itself (PDex 2.2.0, 151a). Everything else is as it was sent, but that members stand in the order of their names.
type contained struct {
	id   string // "" when it was sent without
	sum  digest // of the text as it was submitted
	text []byte // nil when it need not be contained again
	// at and end bound the member id in the text, with the comma behind it; where there is none, both are where it would be.
	at, end int
}

// copyContained copies a resource of a stored request, in which there are no blanks between tokens. The text is of memory of its own.
func copyContained(resource []byte) (contained, error) {
	var c contained
	if !json.Valid(resource) {
		return c, models.Errorf(models.KindInternal, "the stored request is damaged")
	}
	var text bytes.Buffer
	text.Grow(len(resource))
	text.WriteByte('{')
	placed := false
	for _, m := range sorted(resource) {
		switch string(m.name) {
		case "contained":
			continue
		case "meta":
			if m.value = scrubMeta(m.value); m.value == nil {
				continue
			}
		}
		if text.Len() > 1 {
			text.WriteByte(',')
		}
		if !placed && string(m.name) >= "id" {
			c.at, placed = text.Len(), true
			c.end = c.at
		}
		m.write(&text)
		if string(m.name) == "id" {
			c.id, c.end = stringOf(m.value), text.Len()+1 // the resourceType at least comes behind it
		}
	}
	text.WriteByte('}')
	c.text = text.Bytes()
	c.sum = digestOf(c.text)
	return c, nil
}

// rename gives the resource another id.
func (c *contained) rename(id string) {
	c.id = id
	literal, _ := json.Marshal(id) // a string always marshals
	c.text = slices.Concat(c.text[:c.at], []byte(`"id":`), literal, []byte(","), c.text[c.end:])
}

// resourceID returns the id of a resource, "" when there is none.
func resourceID(resource []byte) string {
	for name, value := range checked.Members(resource) {
		if string(name) == "id" {
			return stringOf(value)
		}
	}
	return ""
}

// stringOf returns the text of a string literal, "" for any other value.
func stringOf(value []byte) string {
	var text string
	_ = json.Unmarshal(value, &text) // it was checked at kick-off
	return text
}

// member is one of an object; the name as it was sent, without its quotes.
type member struct{ name, value []byte }

// sorted returns the members of an object in the order of their names.
func sorted(object []byte) []member {
	list := make([]member, 0, 16)
	for name, value := range checked.Members(object) {
		list = append(list, member{name, value})
	}
	slices.SortStableFunc(list, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	return list
}

func (m member) write(to *bytes.Buffer) {
	to.WriteByte('"')
	json.HTMLEscape(to, m.name)
	to.WriteString(`":`)
	json.HTMLEscape(to, m.value)
}

// scrubMeta removes from a meta object what a contained resource must not have. It returns nil when nothing is left.
func scrubMeta(meta []byte) []byte {
	if string(meta) == "null" {
		return nil
	}
	if meta[0] != '{' {
		return meta
	}
	var text bytes.Buffer
	for _, m := range sorted(meta) {
		switch string(m.name) {
		case "versionId", "lastUpdated", "security":
			continue
		}
		if text.Len() == 0 {
			text.WriteByte('{')
		} else {
			text.WriteByte(',')
		}
		m.write(&text)
	}
	if text.Len() == 0 {
		return nil
	}
	text.WriteByte('}')
	return text.Bytes()
}

package columns

import "github.com/tidwall/gjson"

// elements is what the columns take from a line; "" stands for what is absent or not a string.
type elements struct {
	resourceType, id string
	concept          concept
	status           string
}

// concept is the first coding of a CodeableConcept, a Coding, or a code.
type concept struct{ system, code, display, text string }

// extract reads a resource in one pass, and no further than to the last element of interest. Every element of the resource is
// looked at once: fhir.Inspect lets none be there twice.
func extract(line string, p paths) (found elements) {
	missing := 2
	for _, path := range [...]string{p.code, p.status} {
		if path != "" {
			missing++
		}
	}
	gjson.Parse(line).ForEach(func(key, value gjson.Result) bool {
		switch name := key.Str; {
		case name == "resourceType":
			found.resourceType = text(value)
		case name == "id":
			found.id = text(value)
		case name == p.code && name != "":
			found.concept = conceptOf(value)
		case name == p.status && name != "":
			found.status = conceptOf(value).code
		default:
			return true
		}
		missing--
		return missing > 0
	})
	return found
}

// text returns a string, and "" for any other value.
func text(value gjson.Result) string {
	if value.Type != gjson.String {
		return ""
	}
	return value.Str
}

// conceptOf reads a CodeableConcept, a Coding or a code; or the first of a list of them.
func conceptOf(value gjson.Result) (c concept) {
	if value = first(value); value.Type == gjson.String {
		return concept{code: value.Str}
	}
	if !value.IsObject() {
		return concept{}
	}
	var coding gjson.Result
	value.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "coding":
			coding = first(value)
		case "text":
			c.text = text(value)
		default:
			c.note(key.Str, value)
		}
		return true
	})
	if coding.IsObject() {
		c = concept{text: c.text}
		coding.ForEach(func(key, value gjson.Result) bool {
			c.note(key.Str, value)
			return true
		})
	}
	return c
}

// note takes in an element of a Coding.
func (c *concept) note(name string, value gjson.Result) {
	switch name {
	case "system":
		c.system = text(value)
	case "code":
		c.code = text(value)
	case "display":
		c.display = text(value)
	}
}

// label is what a person reads.
func (c *concept) label() string {
	if c.display != "" {
		return c.display
	}
	return c.text
}

// first returns the first element of a list, nothing for an empty one, and any other value as it is.
func first(value gjson.Result) (head gjson.Result) {
	if !value.IsArray() {
		return value
	}
	value.ForEach(func(_, element gjson.Result) bool {
		head = element
		return false
	})
	return head
}

package fhir

import "github.com/tidwall/gjson"

// Provenance is what a Provenance resource says of its targets.
type Provenance struct {
	// Targets are the literal references of Provenance.target, as Type/id.
	Targets []Target
	// Loose is set when a target is there that is no literal reference.
	Loose bool
	// Recorded is Provenance.recorded in milliseconds since the epoch, 0 when it cannot be read.
	Recorded int64
}

// Target is a resource that a Provenance is about.
type Target struct {
	Type int16
	ID   string
}

func (t Target) String() string { return TypeName(t.Type) + "/" + t.ID }

// ParseProvenance reads a Provenance that passed Inspect.
func ParseProvenance(line []byte) Provenance {
	var p Provenance
	values := gjson.GetManyBytes(line, "target", "recorded")
	for _, target := range values[0].Array() {
		if typ, id, ok := literal(target.Get("reference").Str); ok {
			p.Targets = append(p.Targets, Target{typ, id})
		} else {
			p.Loose = true
		}
	}
	if at, err := ParseInstant(values[1].Str); err == nil {
		p.Recorded = at.UnixMilli()
	}
	return p
}

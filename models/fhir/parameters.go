package fhir

import (
	"encoding/json"
	"strings"

	"pdexbulk/models"
)

// Parameters is the resource that carries the input and output of operations.
type Parameters struct {
	ID        string      `json:"id,omitempty"`
	Meta      *Meta       `json:"meta,omitempty"`
	Parameter []Parameter `json:"parameter,omitempty"`
}

// Parameter is one named entry: a value, a resource or parts.
type Parameter struct {
	Name string
	// ValueType is the [x] of value[x] ("String", "Reference", ...); empty when there is no value.
	ValueType string
	// Value is the JSON of value[x].
	Value    json.RawMessage
	Resource json.RawMessage
	Part     []Parameter
}

// ParseParameters reads a Parameters resource. The error is a models.Error of KindInvalid without content.
func ParseParameters(data []byte) (Parameters, error) {
	var p Parameters
	err := decode(data, "Parameters", &p)
	return p, err
}

// MarshalJSON writes the resource with its resourceType.
func (p Parameters) MarshalJSON() ([]byte, error) {
	type elements Parameters
	return json.Marshal(struct {
		ResourceType string `json:"resourceType"`
		elements
	}{"Parameters", elements(p)})
}

// Named returns the parameters of a name, in order.
func (p Parameters) Named(name string) []Parameter { return named(p.Parameter, name) }

// Parts returns the parts of a name, in order.
func (p Parameter) Parts(name string) []Parameter { return named(p.Part, name) }

func named(all []Parameter, name string) []Parameter {
	var found []Parameter
	for _, p := range all {
		if p.Name == name {
			found = append(found, p)
		}
	}
	return found
}

// Text returns the value of a parameter whose value is a JSON string (string, code, instant, uri, ...), and false for any
// other.
func (p Parameter) Text() (string, bool) {
	var text string
	if len(p.Value) == 0 || p.Value[0] != '"' || json.Unmarshal(p.Value, &text) != nil {
		return "", false
	}
	return text, true
}

// MarshalJSON writes the value under its typed name.
func (p Parameter) MarshalJSON() ([]byte, error) {
	out := []byte(`{"name":`)
	name, err := json.Marshal(p.Name)
	if err != nil {
		return nil, err
	}
	out = append(out, name...)
	if p.ValueType != "" {
		key, err := json.Marshal("value" + p.ValueType)
		if err != nil {
			return nil, err
		}
		out = append(append(append(append(out, ','), key...), ':'), p.Value...)
	}
	if p.Resource != nil {
		out = append(append(out, `,"resource":`...), p.Resource...)
	}
	if len(p.Part) > 0 {
		parts, err := json.Marshal(p.Part)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `,"part":`...), parts...)
	}
	return append(out, '}'), nil
}

// UnmarshalJSON takes the one value[x] of the parameter, whatever its type.
func (p *Parameter) UnmarshalJSON(data []byte) error {
	var known struct {
		Name     string          `json:"name"`
		Resource json.RawMessage `json:"resource"`
		Part     []Parameter     `json:"part"`
	}
	if err := json.Unmarshal(data, &known); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*p = Parameter{Name: known.Name, Resource: known.Resource, Part: known.Part}
	for key, value := range all {
		kind, ok := strings.CutPrefix(key, "value")
		if !ok || kind == "" {
			continue
		}
		if p.ValueType != "" {
			return models.Errorf(models.KindInvalid, "a parameter has two values").At("Parameters.parameter.value[x]")
		}
		p.ValueType, p.Value = kind, value
	}
	return nil
}

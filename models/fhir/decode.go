package fhir

import (
	"encoding/json"
	"errors"

	"pdexbulk/models"
	"pdexbulk/models/fhir/checked"
)

// MediaType is what FHIR JSON is served as.
const MediaType = "application/fhir+json"

// decode fills a resource of this package from JSON. The error says what was expected and at which byte it went wrong; what
// encoding/json says is left out, because it quotes the input. Check comes first: it bounds the depth, for the cost of nested
// decoding grows with it. resourceType is checked, because a resource of another type
// decodes without complaint into an empty value.
func decode(data []byte, want string, into any) error {
	if err := Check(data); err != nil {
		return models.Errorf(models.KindInvalid, "the %s is not sound JSON: %v", want, err)
	}
	typ := ""
	for name, value := range checked.Members(data[checked.Blanks(data, 0):]) {
		if string(name) == "resourceType" && value[0] == '"' {
			typ = string(checked.Unquote(nil, value[1:len(value)-1]))
		}
	}
	if typ != want {
		return models.Errorf(models.KindInvalid, "the resource is not a %s", want)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return shapeError(want, err)
	}
	return nil
}

func shapeError(want string, err error) error {
	if e, ok := errors.AsType[*models.Error](err); ok {
		return e
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return models.Errorf(models.KindInvalid, "the %s has an element of the wrong JSON type at byte %d", want, kind.Offset)
	}
	return models.Errorf(models.KindInvalid, "the %s does not have the shape of one", want)
}

// ResourceTypeOf returns the resourceType of a resource in JSON, and "" when it has none that can be read.
func ResourceTypeOf(data []byte) string {
	var head struct {
		ResourceType string `json:"resourceType"`
	}
	if json.Unmarshal(data, &head) != nil {
		return ""
	}
	return head.ResourceType
}

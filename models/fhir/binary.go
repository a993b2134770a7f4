package fhir

import (
	"encoding/base64"
	"mime"
	"strings"

	"github.com/tidwall/gjson"
)

// Binary is the content of a Binary resource (https://hl7.org/fhir/R4/binary.html) and what it says of whom it is about.
type Binary struct {
	ContentType string
	Data        []byte
	// Bound says that the resource has a securityContext. That is the Patient's when Patient is set, else the resource
	// ContextType/ContextID; with neither it is nothing that can be followed.
	Bound       bool
	Patient     string
	ContextType int16
	ContextID   string
}

// ParseBinary reads a Binary that passed Inspect. The error is a *Reject.
func ParseBinary(line []byte) (*Binary, error) {
	values := gjson.GetManyBytes(line, "contentType", "data", "securityContext")
	contentType, content, context := values[0], values[1], values[2]
	bad := &Reject{Reason: ReasonBadBinary}
	if _, _, err := mime.ParseMediaType(contentType.Str); err != nil || strings.ContainsFunc(contentType.Str, unprintable) {
		return nil, bad
	}
	if content.Exists() && content.Type != gjson.String {
		return nil, bad
	}
	data, err := base64.StdEncoding.DecodeString(content.Str)
	if err != nil {
		return nil, bad
	}
	b := &Binary{ContentType: contentType.Str, Data: data, Bound: context.Exists()}
	reference := context.Get("reference").Str
	if b.Patient = PatientID(reference); b.Patient == "" {
		if typ, id, ok := literal(reference); ok {
			b.ContextType, b.ContextID = typ, id
		}
	}
	return b, nil
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }

package fhir

import (
	"bytes"
	"strings"
)

// PatientID returns the id of the Patient that a reference names, and "" when it names none or not a Patient. It reads
// Patient/x, an absolute URL that ends so, either of them with /_history/v, and urn:uuid:x.
func PatientID(reference string) string {
	return string(patientID([]byte(reference), true))
}

func patientID(reference []byte, urn bool) []byte {
	if id, ok := bytes.CutPrefix(reference, []byte("urn:uuid:")); ok {
		if urn && validID(id) {
			return id
		}
		return nil
	}
	if i := bytes.LastIndex(reference, []byte("/_history/")); i >= 0 {
		reference = reference[:i]
	}
	slash := bytes.LastIndexByte(reference, '/')
	if slash < 0 || !validID(reference[slash+1:]) {
		return nil
	}
	id := reference[slash+1 : len(reference) : len(reference)]
	kind := reference[:slash]
	if string(kind) == "Patient" {
		return id
	}
	if bytes.HasSuffix(kind, []byte("/Patient")) && (bytes.HasPrefix(kind, []byte("http://")) || bytes.HasPrefix(kind, []byte("https://"))) {
		return id
	}
	return nil
}

// NamedPatient returns the id by which a reference names a Patient, whether or not FHIR allows such an id: that of PatientID, and those of
// #x and of x alone. It is "" when the reference names something else.
func NamedPatient(reference string) string {
	for _, prefix := range []string{"urn:uuid:", "#"} {
		if id, ok := strings.CutPrefix(reference, prefix); ok {
			return id
		}
	}
	if i := strings.LastIndex(reference, "/_history/"); i >= 0 {
		reference = reference[:i]
	}
	slash := strings.LastIndexByte(reference, '/')
	if slash < 0 {
		return reference
	}
	if kind := reference[:slash]; kind != "Patient" && !strings.HasSuffix(kind, "/Patient") {
		return ""
	}
	return reference[slash+1:]
}

// ValidID reports whether s is a legal logical id (https://hl7.org/fhir/R4/datatypes.html#id).
func ValidID(s string) bool { return validID(s) }

func validID[T ~string | ~[]byte](s T) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

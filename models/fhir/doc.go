// Package fhir holds what this server needs to know of FHIR R4 (4.0.1): the resource types, how to read one NDJSON line
// without decoding it, how to stamp it, and the few resources that are authored here.
//
// Resources are never turned into Go values and back: that would lose what we do not model and costs more than all the
// rest of an import together. Inspect reads a line once, proves that it is JSON, and notes what an import must know (whose
// it is, when it was, how it is labelled); Stamp splices meta.lastUpdated and leaves every other byte alone. What a rule
// says of a resource type (which element names the patient, which one the date of service) is a row of a table in
// rules.go, not code.
//
// Only what is written or judged here has a Go type: OperationOutcome, Parameters, Group, Bundle, Consent, and the views
// Demographics and Card of a Patient and a Coverage. Unknown elements of those are dropped when they are decoded.
//
// The package does not validate resources against profiles, does not resolve references, and knows nothing of searches
// (see fhir/search). Its errors are fixed codes and byte offsets; they never quote content.
package fhir

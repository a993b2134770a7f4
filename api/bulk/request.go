package bulk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

const (
	// sliceMembers and sliceBytes are how many people one activity matches, and how many bytes of the request, which it holds in memory.
	sliceMembers = 500
	sliceBytes   = 8 << 20
	// maxElement bounds each other element of the request.
	maxElement = 1 << 20
)

// storeRequest reads a Parameters body, checks it, and stores one MemberBundle a line. Nothing is left behind when it fails.
func (s *Service) storeRequest(ctx context.Context, body io.Reader, kind *matchKind, params *models.MatchParams) ([]store.Slice, []byte, error) {
	out, err := s.Files.Create(ctx, params.BlobKey)
	if err != nil {
		return nil, nil, notStored(err)
	}
	defer out.Abort()
	req := &request{slots: kind.slots, out: out, digest: sha256.New(), limit: s.MaxMembers, bundle: s.MaxBundle, patients: map[string]bool{}}
	asks, err := json.Marshal([]any{kind.op, params.Spec, params.Organizations, params.NPI, params.Purposes})
	if err != nil {
		return nil, nil, fmt.Errorf("write who asks: %w", err)
	}
	req.digest.Write(asks)
	if err := req.read(newDocument(body)); err != nil {
		return nil, nil, err
	}
	if err := out.Commit(); err != nil {
		return nil, nil, notStored(err)
	}
	params.Members = req.members
	for _, f := range req.subjects {
		if req.patients[f.patient] {
			params.Foreign = append(params.Foreign, f.idx)
		}
	}
	return req.slices, req.digest.Sum(nil), nil
}

func notStored(err error) error {
	return models.Errorf(models.KindUnavailable, "the request cannot be stored at the moment; try again").Wait(10).Because(err)
}

// request is a match request while it is read.
type request struct {
	slots    []slot
	out      blob.Writer
	digest   hash.Hash
	limit    int
	bundle   int
	line     bytes.Buffer
	members  int
	at       int64
	slices   []store.Slice
	patients map[string]bool // ids of the submitted Patients
	subjects []subject       // Consents about another Patient than their MemberBundle's
}

type subject struct {
	idx     int32
	patient string
}

// structural is a request that is JSON and breaks the operation's rules: 422 for all of it (PDex 2.2.0, decision flow).
func structural(where, format string, args ...any) error {
	return models.Errorf(models.KindUnprocessable, format, args...).At(where)
}

// malformed says what is wrong with a body that could not be taken apart.
func malformed(err error) error {
	if fault := bodyFault(err); fault != nil {
		return fault
	}
	return models.Errorf(models.KindInvalid, "the body is not one whole JSON document")
}

// value reads a value of the request and checks that it is sound: JSON in UTF-8, not nested without measure, and of one
// meaning only.
func (q *request) value(d *document, where string, limit int) ([]byte, error) {
	raw, err := d.value(limit)
	if errors.Is(err, errTooLong) {
		return nil, models.Errorf(models.KindTooLarge, "this is over the limit of %d bytes", limit).At(where)
	}
	if err != nil {
		return nil, malformed(err)
	}
	if err := fhir.Check(raw); err != nil {
		reject, ok := errors.AsType[*fhir.Reject](err)
		switch {
		case ok && reject.Reason == fhir.ReasonBadUTF8:
			return nil, models.Errorf(models.KindInvalid, "the body is not UTF-8 throughout").At(where)
		case ok && reject.Reason == fhir.ReasonTooDeep:
			return nil, structural(where, "nested deeper than %d levels", fhir.MaxDepth)
		case ok && reject.Reason == fhir.ReasonEscapedKey:
			return nil, structural(where, "the name of an element is written with an escape")
		}
		return nil, models.Errorf(models.KindInvalid, "the body is not one whole JSON document").At(where)
	}
	if !unambiguous(raw) {
		return nil, structural(where, "an element is there twice in one object")
	}
	return raw, nil
}

// read reads the Parameters object as a stream.
func (q *request) read(d *document) error {
	first, err := d.peek()
	if err != nil {
		return malformed(err)
	}
	if first != '{' {
		if _, err := q.value(d, "Parameters", maxElement); err != nil {
			return err
		}
		return structural("Parameters", "the body must be a Parameters resource")
	}
	if err := q.object(d); err != nil {
		return err
	}
	if _, err := d.peek(); !errors.Is(err, io.EOF) {
		return malformed(err)
	}
	if q.members == 0 {
		return structural("Parameters.parameter", "at least one MemberBundle is needed")
	}
	return nil
}

func (q *request) object(d *document) error {
	if _, err := d.take("{"); err != nil {
		return malformed(err)
	}
	var seen uniqueNames
	typed := false
	if c, err := d.peek(); err == nil && c == '}' {
		return structural("Parameters", "the body must be a Parameters resource")
	}
	for {
		name, err := q.name(d)
		if err != nil {
			return err
		}
		if !seen.add(name) {
			return structural("Parameters", "an element is there twice")
		}
		if len(seen.names) > fhir.MaxMembers {
			return structural("Parameters", "there are more than %d elements", fhir.MaxMembers)
		}
		switch name {
		case "resourceType":
			raw, err := q.value(d, "Parameters", maxElement)
			if err != nil {
				return err
			}
			if text(raw) != "Parameters" {
				return structural("Parameters", "the body must be a Parameters resource")
			}
			typed = true
		case "parameter":
			err = q.parameters(d)
		default:
			_, err = q.value(d, "Parameters", maxElement)
		}
		if err != nil {
			return err
		}
		next, err := d.take(",}")
		if err != nil {
			return malformed(err)
		}
		if next == '}' {
			break
		}
	}
	if !typed {
		return structural("Parameters", "the body must be a Parameters resource")
	}
	return nil
}

// name reads a member's name and the colon behind it.
func (q *request) name(d *document) (string, error) {
	if c, err := d.peek(); err != nil || c != '"' {
		return "", malformed(err)
	}
	raw, err := q.value(d, "Parameters", maxElement)
	if err != nil {
		return "", err
	}
	name := string(raw[1 : len(raw)-1])
	if strings.Contains(name, `\`) {
		return "", structural("Parameters", "the name of an element is written with an escape")
	}
	if _, err := d.take(":"); err != nil {
		return "", malformed(err)
	}
	return name, nil
}

// text returns the string that a JSON value is, "" for any other.
func text(raw []byte) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func (q *request) parameters(d *document) error {
	if c, err := d.peek(); err == nil && c != '[' {
		if _, err := q.value(d, "Parameters.parameter", maxElement); err != nil {
			return err
		}
		return structural("Parameters.parameter", "must be a list")
	}
	if _, err := d.take("["); err != nil {
		return malformed(err)
	}
	if c, err := d.peek(); err == nil && c == ']' {
		_, err := d.take("]")
		return err
	}
	for i := 0; ; i++ {
		where := fmt.Sprintf("Parameters.parameter[%d]", i)
		raw, err := q.value(d, where, 2*q.bundle) // as it is sent, blanks included
		if err != nil {
			return err
		}
		if err := q.add(where, raw); err != nil {
			return err
		}
		next, err := d.take(",]")
		if err != nil {
			return malformed(err)
		}
		if next == ']' {
			return nil
		}
	}
}

// slot is a part of a MemberBundle.
type slot struct {
	name     string
	typ      string
	key      string // in the stored form, match.Submission
	required bool
	former   string // what drafts of PDex call it, "" when nothing else
}

// The keys of the parts that are looked into at kick-off.
const (
	patientKey = "patient"
	consentKey = "consent"
)

// add checks one parameter (PDex 2.2.0, profile pdex-parameters-multi-member-match-bundle-in) and stores it when it is a
// MemberBundle. The profile lets others stand beside them; one that could be a person under a misspelt name is refused.
func (q *request) add(where string, raw []byte) error {
	if raw[0] != '{' {
		return structural(where, "must be an object")
	}
	var name, part, resource []byte
	for key, value := range members(raw) {
		switch key {
		case "name":
			name = value
		case "part":
			part = value
		case "resource":
			resource = value
		}
	}
	switch text(name) {
	case "MemberBundle", "MembersToMatch": // the second name is PDex 2.1's
	case "":
		return structural(where+".name", "a parameter needs a name")
	default:
		if part != nil || resource != nil {
			return structural(where+".name", "only MemberBundle can have parts here")
		}
		return nil
	}
	if q.members == q.limit {
		return models.Errorf(models.KindTooLarge, "the request is over the limit of %d members; split it", q.limit).At(where)
	}
	resources, err := q.parts(where, part)
	if err != nil {
		return err
	}
	return q.store(where, resources)
}

// parts returns the resources of a MemberBundle in the order of slots, nil for one that is not there.
func (q *request) parts(where string, list []byte) ([][]byte, error) {
	resources := make([][]byte, len(q.slots))
	if list != nil && list[0] != '[' {
		return nil, structural(where+".part", "must be a list")
	}
	if list == nil {
		list = []byte("[]")
	}
	for i, part := range elements(list) {
		at := fmt.Sprintf("%s.part[%d]", where, i)
		if part[0] != '{' {
			return nil, structural(at, "must be an object")
		}
		var name, resource []byte
		for key, value := range members(part) {
			switch key {
			case "name":
				name = value
			case "resource":
				resource = value
			}
		}
		called := text(name)
		if called == "" {
			return nil, structural(at+".name", "a part needs a name")
		}
		for n, slot := range q.slots {
			if slot.name != called && slot.former != called {
				continue // slicing is open: other parts are let be
			}
			if resources[n] != nil {
				return nil, structural(at, "%s is there twice", slot.name)
			}
			if resourceType(resource) != slot.typ {
				return nil, structural(at+".resource", "%s must be a %s resource", slot.name, slot.typ)
			}
			resources[n] = resource
		}
	}
	for n, slot := range q.slots {
		if slot.required && resources[n] == nil {
			return nil, structural(where, "%s is missing", slot.name)
		}
	}
	return resources, nil
}

// resourceType returns the type of a resource in sound JSON, "" when it is none.
func resourceType(raw []byte) string {
	if len(raw) == 0 || raw[0] != '{' {
		return ""
	}
	for key, value := range members(raw) {
		if key == "resourceType" {
			return text(value)
		}
	}
	return ""
}

// store writes a MemberBundle as one line. But for blanks between tokens, each resource is stored as it was sent.
func (q *request) store(where string, resources [][]byte) error {
	q.line.Reset()
	sep := byte('{')
	for n, slot := range q.slots {
		if resources[n] == nil {
			continue
		}
		q.line.WriteByte(sep)
		q.line.WriteString(`"` + slot.key + `":`)
		if err := json.Compact(&q.line, resources[n]); err != nil {
			return fmt.Errorf("compact a checked resource: %w", err)
		}
		sep = ','
	}
	q.line.WriteString("}\n")
	if q.line.Len() > q.bundle {
		return models.Errorf(models.KindTooLarge, "a MemberBundle is over the limit of %d bytes", q.bundle).At(where)
	}
	size := int64(q.line.Len())
	if n := len(q.slices); n == 0 || q.slices[n-1].Members == sliceMembers || q.slices[n-1].Length+size > sliceBytes {
		q.slices = append(q.slices, store.Slice{Slice: n, First: q.members, Offset: q.at})
	}
	last := &q.slices[len(q.slices)-1]
	last.Members++
	last.Length += size
	q.note(resources)
	q.members++
	q.at += size
	q.digest.Write(q.line.Bytes())
	if _, err := q.out.Write(q.line.Bytes()); err != nil {
		return notStored(err)
	}
	return nil
}

// note keeps what is needed to tell a Consent about another Patient of the request (decision D-06).
func (q *request) note(resources [][]byte) {
	var patient, consent []byte
	for n, slot := range q.slots {
		switch slot.key {
		case patientKey:
			patient = resources[n]
		case consentKey:
			consent = resources[n]
		}
	}
	var id string
	for key, value := range members(patient) {
		if key == "id" {
			id = short(text(value))
		}
	}
	if id != "" {
		q.patients[id] = true
	}
	var c struct {
		Patient struct {
			Reference string `json:"reference"`
		} `json:"patient"`
	}
	if json.Unmarshal(consent, &c) != nil {
		return // its content is for the match to judge
	}
	if about := short(fhir.NamedPatient(c.Patient.Reference)); about != id && about != "" {
		q.subjects = append(q.subjects, subject{int32(q.members), about})
	}
}

// short is an id, or what stands for it where it is longer than FHIR allows: people send what they have, but it must not fill the memory.
func short(id string) string {
	if len(id) <= 64 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return string(sum[:])
}

package bulk

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

const (
	// sliceMembers is how many people one activity matches.
	sliceMembers = 500
	// maxBundle bounds one MemberBundle, in bytes as it is stored.
	maxBundle = 4 << 20
)

// bulkMemberMatch is the kick-off of $bulk-member-match (PDex 2.2.0, OperationDefinition BulkMemberMatch). The body is read
// once, person by person: its structure is checked as a whole, and what was read is stored for the workflow, so a request
// of any length takes no more memory than its longest MemberBundle.
func (s *Service) bulkMemberMatch(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	if !c.MayOperate(models.OpBulkMemberMatch) {
		return models.Errorf(models.KindForbidden, "the token does not cover $bulk-member-match")
	}
	if err := asyncHeaders(r.Header); err != nil {
		return err
	}
	if err := jsonBody(r.Header); err != nil {
		return err
	}
	if len(c.Organizations) == 0 {
		return models.Errorf(models.KindForbidden, "this client is registered without an organisation identifier, so no consent can name it")
	}
	ctx := r.Context()
	job := &models.Job{
		ID: models.NewID(), ClientID: c.ClientID, Operation: models.OpBulkMemberMatch, RequestURL: s.requestURL(r),
		IdempotencyKey: idempotencyKey(r.Header), State: models.StateAccepted, CreatedAt: s.now().UTC(),
	}
	params := models.MatchParams{
		BlobKey: "matches/" + job.ID + "/request", GroupID: models.NewID(), Organizations: c.Organizations, RequesterName: c.Organization,
	}
	slices, digest, err := s.storeRequest(ctx, http.MaxBytesReader(w, r.Body, s.MaxBody), &params)
	if err != nil {
		return err
	}
	job.RequestDigest = digest
	if job.Params, err = json.Marshal(params); err != nil {
		return fmt.Errorf("write parameters: %w", err)
	}
	return s.acceptMatch(w, r, job, slices, params.BlobKey)
}

// acceptMatch records the job with its slices. When the same request is running already, this copy of it is dropped.
func (s *Service) acceptMatch(w http.ResponseWriter, r *http.Request, job *models.Job, slices []store.Slice, key string) error {
	ctx := r.Context()
	stored, created, err := s.Store.CreateJob(ctx, job, s.OpenJobs)
	if err != nil || !created {
		if derr := s.Files.Delete(context.WithoutCancel(ctx), key); derr != nil {
			s.Log.WarnContext(ctx, "a superfluous copy of a request stays in the file store", "job", job.ID, "error", derr.Error())
		}
		if err != nil {
			return err
		}
	}
	if created {
		for i := range slices {
			slices[i].JobID = job.ID
		}
		if err := s.Store.SaveSlices(ctx, job.ID, slices); err != nil {
			return err
		}
	}
	if created || stored.State == models.StateAccepted {
		if err := s.start(ctx, stored); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Location", s.statusURL(stored.ID))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// storeRequest reads a Parameters body, checks it, and stores one MemberBundle a line.
func (s *Service) storeRequest(ctx context.Context, body io.Reader, params *models.MatchParams) ([]store.Slice, []byte, error) {
	out, err := s.Files.Create(ctx, params.BlobKey)
	if err != nil {
		return nil, nil, models.Errorf(models.KindUnavailable, "the request cannot be stored at the moment; try again").Wait(10).Because(err)
	}
	defer out.Abort()
	req := &request{out: out, digest: sha256.New(), limit: s.MaxMembers, patients: map[string]bool{}}
	if err := req.read(body); err != nil {
		return nil, nil, err
	}
	if err := out.Commit(); err != nil {
		return nil, nil, models.Errorf(models.KindUnavailable, "the request cannot be stored at the moment; try again").Wait(10).Because(err)
	}
	params.Members = req.members
	for _, f := range req.subjects {
		if req.patients[f.patient] {
			params.Foreign = append(params.Foreign, f.idx)
		}
	}
	return req.slices, req.digest.Sum(nil), nil
}

// request is a match request while it is read.
type request struct {
	out      blob.Writer
	digest   hash.Hash
	limit    int
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

func (q *request) read(body io.Reader) error {
	dec := json.NewDecoder(body)
	dec.UseNumber()
	if err := q.document(dec); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return notJSON(err)
	}
	if q.members == 0 {
		return structural("Parameters.parameter", "at least one MemberBundle is needed")
	}
	return nil
}

func structural(where, format string, args ...any) error {
	return models.Errorf(models.KindUnprocessable, format, args...).At(where)
}

func notJSON(err error) error {
	if max, over := asMaxBytes(err); over {
		return models.Errorf(models.KindTooLarge, "the body is over the limit of %d bytes", max.Limit)
	}
	return models.Errorf(models.KindInvalid, "the body is not one JSON document")
}

// document reads the Parameters object as a stream.
func (q *request) document(dec *json.Decoder) error {
	tok, err := dec.Token()
	if err != nil {
		return notJSON(err)
	}
	if tok != json.Delim('{') {
		return structural("Parameters", "the body must be a Parameters resource")
	}
	typed, listed := false, false
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return notJSON(err)
		}
		switch tok {
		case "resourceType":
			var name string
			if err := dec.Decode(&name); err != nil || name != "Parameters" {
				return bodyFault(err, "Parameters", "the body must be a Parameters resource")
			}
			typed = true
		case "parameter":
			if listed {
				return structural("Parameters.parameter", "the list is there twice")
			}
			listed = true
			if err := q.parameters(dec); err != nil {
				return err
			}
		default:
			var skipped json.RawMessage
			if err := dec.Decode(&skipped); err != nil {
				return notJSON(err)
			}
		}
	}
	if _, err := dec.Token(); err != nil {
		return notJSON(err)
	}
	if !typed {
		return structural("Parameters", "the body must be a Parameters resource")
	}
	return nil
}

// bodyFault tells malformed JSON (400) from JSON of the wrong shape (422).
func bodyFault(err error, where, msg string) error {
	if _, syntax := err.(*json.SyntaxError); syntax || err == io.ErrUnexpectedEOF || err == io.EOF {
		return notJSON(err)
	}
	if _, over := asMaxBytes(err); over {
		return notJSON(err)
	}
	return structural(where, "%s", msg)
}

func (q *request) parameters(dec *json.Decoder) error {
	tok, err := dec.Token()
	if err != nil {
		return notJSON(err)
	}
	if tok != json.Delim('[') {
		return structural("Parameters.parameter", "must be a list")
	}
	for i := 0; dec.More(); i++ {
		where := fmt.Sprintf("Parameters.parameter[%d]", i)
		var p bundleParameter
		if err := dec.Decode(&p); err != nil {
			return bodyFault(err, where, "not a parameter of the expected form")
		}
		if err := q.add(where, p); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return notJSON(err)
	}
	return nil
}

type bundleParameter struct {
	Name string `json:"name"`
	Part []struct {
		Name     string          `json:"name"`
		Resource json.RawMessage `json:"resource"`
	} `json:"part"`
}

// parts says which resource type each part of a MemberBundle must have.
var parts = map[string]string{"MemberPatient": "Patient", "CoverageToMatch": "Coverage", "CoverageToLink": "Coverage", "Consent": "Consent"}

// add checks one MemberBundle (PDex 2.2.0, profile pdex-parameters-multi-member-match-bundle-in) and stores it.
func (q *request) add(where string, p bundleParameter) error {
	if p.Name != "MemberBundle" && p.Name != "MembersToMatch" { // the second name is PDex 2.1's
		return structural(where+".name", "only MemberBundle is expected here")
	}
	if q.members == q.limit {
		return models.Errorf(models.KindTooLarge, "the request is over the limit of %d members; split it", q.limit).At(where)
	}
	var s match.Submission
	slots := map[string]*json.RawMessage{"MemberPatient": &s.Patient, "CoverageToMatch": &s.Coverage, "CoverageToLink": &s.Link, "Consent": &s.Consent}
	for i, part := range p.Part {
		slot, known := slots[part.Name]
		if !known {
			continue // slicing is open
		}
		at := fmt.Sprintf("%s.part[%d]", where, i)
		if *slot != nil {
			return structural(at, "%s is there twice", part.Name)
		}
		if got := fhir.ResourceTypeOf(part.Resource); got != parts[part.Name] {
			return structural(at+".resource", "%s must be a %s resource", part.Name, parts[part.Name])
		}
		*slot = part.Resource
	}
	for _, name := range []string{"MemberPatient", "CoverageToMatch", "Consent"} {
		if *slots[name] == nil {
			return structural(where, "%s is missing", name)
		}
	}
	return q.store(where, s)
}

func (q *request) store(where string, s match.Submission) error {
	line, err := json.Marshal(s)
	if err != nil {
		return structural(where, "not a MemberBundle of the expected form")
	}
	if len(line) > maxBundle {
		return models.Errorf(models.KindTooLarge, "a MemberBundle is over the limit of %d bytes", maxBundle).At(where)
	}
	line = append(line, '\n')
	if q.members%sliceMembers == 0 {
		q.slices = append(q.slices, store.Slice{Slice: len(q.slices), First: q.members, Offset: q.at})
	}
	last := &q.slices[len(q.slices)-1]
	last.Members++
	last.Length += int64(len(line))
	q.note(s)
	q.members++
	q.at += int64(len(line))
	q.digest.Write(line)
	if _, err := q.out.Write(line); err != nil {
		return models.Errorf(models.KindUnavailable, "the request cannot be stored at the moment; try again").Wait(10).Because(err)
	}
	return nil
}

// note keeps what is needed to tell a Consent about another Patient of the request (decision D-06).
func (q *request) note(s match.Submission) {
	var patient struct {
		ID string `json:"id"`
	}
	var consent struct {
		Patient struct {
			Reference string `json:"reference"`
		} `json:"patient"`
	}
	if json.Unmarshal(s.Patient, &patient) == nil && patient.ID != "" {
		q.patients[patient.ID] = true
	}
	if json.Unmarshal(s.Consent, &consent) != nil {
		return
	}
	about := fhir.PatientID(consent.Patient.Reference)
	if about == "" {
		about = strings.TrimPrefix(consent.Patient.Reference, "#")
	}
	if about != "" && about != patient.ID {
		q.subjects = append(q.subjects, subject{int32(q.members), about})
	}
}

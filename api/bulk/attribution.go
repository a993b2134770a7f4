package bulk

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/attribution"
	"pdexbulk/models/fhir"
	"pdexbulk/models/recheck"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
)

// listExport is the exportType by which a provider gets an attribution list itself (Da Vinci ATR 2.1.0).
const listExport = "hl7.fhir.us.davinci-atr"

// listTypes are the types such an export must have, partyTypes those it may have while the list is a draft.
var (
	listTypes  = []int16{fhir.TypeGroup, fhir.TypePatient, fhir.TypeCoverage}
	partyTypes = []int16{fhir.TypeRelatedPerson, fhir.TypePractitioner, fhir.TypePractitionerRole, fhir.TypeOrganization, fhir.TypeLocation}
)

func (s *Service) addAttributionRoutes(api huma.API) {
	id := pathParameter("id", "Group id of the attribution list")
	s.route(api, http.MethodPost, "/fhir/Group/{id}/$member-add", "member-add", "Put a member on one's attribution list (Da Vinci ATR 2.1.0)",
		"Takes memberId or patientReference, providerNpi or providerReference, and attributionPeriod. Whoever is put on the list must be treated by the "+
			"provider, as far as the treatment relationship list knows. Answers an OperationOutcome at once.", s.memberAdd, id)
	s.route(api, http.MethodPost, "/fhir/Group/{id}/$member-remove", "member-remove", "Take a member off one's attribution list (Da Vinci ATR 2.1.0)",
		"Takes memberId or patientReference and, for some attributions of the member alone, providerNpi or providerReference, and coverageReference. "+
			"On a draft they become inactive. Answers an OperationOutcome at once.", s.memberRemove, id)
}

// listType reads the exportType of an attribution list's export.
func listType(value string) (string, *models.Error) {
	if value == listExport {
		return value, nil
	}
	if typ, err := providerType(value); err == nil {
		return typ, nil
	}
	return "", models.Errorf(models.KindInvalid, "for this Group the export type is %s, %s, %s or %s", listExport, providerDelta, providerDownload, providerSnapshot)
}

// listRules checks what the export of an attribution list has to have beyond others, and settles whether the Group comes along. A
// draft is not ready for use (PDex 2.2.0 Provider Access version 1): who is on it can be exported, to be looked at, and nothing clinical.
func (s *Service) listRules(ctx context.Context, c *auth.Caller, p *models.ExportParams) error {
	l, err := s.Store.AttributionList(ctx, p.GroupID)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the Group cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	if p.ExportType == listExport {
		for _, typ := range listTypes {
			if !slices.Contains(p.Types, typ) {
				return models.Errorf(models.KindInvalid, "%s needs the types Group, Patient and Coverage", listExport).At("_type")
			}
		}
		if p.OrganizeBy != "" {
			return models.Errorf(models.KindInvalid, "the Group belongs to no one patient; leave this out").At("organizeOutputBy")
		}
	}
	onlyParties := !slices.ContainsFunc(p.Types, func(typ int16) bool {
		return !slices.Contains(listTypes, typ) && !slices.Contains(partyTypes, typ) && typ != noType
	})
	p.Unclinical = p.ExportType == listExport && onlyParties
	if l.Status == models.AttributionDraft && !p.Unclinical {
		if p.ExportType != listExport {
			return models.Errorf(models.KindConflict, "the attribution list is a draft and not ready for use; ask with exportType=%s for who is on it", listExport).At("exportType")
		}
		return models.Errorf(models.KindConflict, "the attribution list is a draft and not ready for use; ask for who is on it alone").At("_type")
	}
	p.Listed = true
	if p.WithList = slices.Contains(p.Types, fhir.TypeGroup) && p.OrganizeBy == ""; p.WithList && !c.MayRead("Group") {
		return models.Errorf(models.KindForbidden, "the token does not cover Group").At("_type")
	}
	p.Types = without(p.Types, fhir.TypeGroup)
	return nil
}

// without takes a type out of those that were asked for. When it was the only one, none is left, which is not all.
func without(types []int16, typ int16) []int16 {
	left := slices.DeleteFunc(slices.Clone(types), func(t int16) bool { return t == typ })
	if len(left) == 0 && len(types) > 0 {
		return []int16{noType}
	}
	return left
}

// The parameters of $member-add and $member-remove.
const (
	memberID          = "memberId"
	patientReference  = "patientReference"
	providerNPI       = "providerNpi"
	providerReference = "providerReference"
	attributionPeriod = "attributionPeriod"
	coverageReference = "coverageReference"
)

// Each operation takes some of them.
var (
	addParameters    = []string{memberID, patientReference, providerNPI, providerReference, attributionPeriod}
	removeParameters = []string{memberID, patientReference, providerNPI, providerReference, coverageReference}
)

// reconciliation is what a request asks of an attribution list.
type reconciliation struct {
	list                 models.AttributionList
	card, patient        string // one of them
	npi, provider        string // at most one of them is given
	coverage             string
	start, end           *time.Time
	memberAt, providerAt string // by which parameter they are known
	parameters           []string
	base                 string
}

// memberAdd puts a member on the caller's list (Da Vinci ATR 2.1.0, OperationDefinition member-add). The plan has not attributed them: the
// treatment relationship list must know that the provider treats them. Somebody who has opted out is as unknown as a stranger.
func (s *Service) memberAdd(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	q, err := s.reconcile(w, r, c, models.OpMemberAdd, addParameters)
	if err != nil {
		return err
	}
	if q.providerAt == "" {
		return models.Errorf(models.KindInvalid, "say to whom the member is attributed by %s or %s", providerNPI, providerReference).At(providerNPI)
	}
	ctx, now := r.Context(), s.now()
	a := models.Attribution{NPI: q.npi, Provider: q.provider, Start: now.UTC().Truncate(time.Millisecond), End: q.end}
	if q.start != nil {
		a.Start = *q.start
	}
	if err := a.Validate(); err != nil {
		return models.Errorf(models.KindInvalid, "the period must end after it starts").At(attributionPeriod)
	}
	if a.Member, err = s.meant(ctx, q); err != nil {
		return reconciled(err)
	}
	admission, err := attribution.Admit(ctx, s.Store, q.list.ID, a, now)
	switch {
	case err != nil:
		return reconciled(err)
	case !admission.KnownProvider:
		return models.Errorf(models.KindUnprocessable, "the directory has no such provider who is active and of the organisation whose list this is").At(q.providerAt)
	case !admission.Admitted:
		return models.Errorf(models.KindUnprocessable, "nobody who may be put on this list is known by this").At(q.memberAt)
	}
	coverages, err := s.Store.CoveragesOf(ctx, []uuid.UUID{a.Member})
	if err != nil {
		return reconciled(err)
	}
	if held := coverages[a.Member]; len(held) == 1 {
		a.Coverage = held[0]
	}
	trail.Of(ctx).Members = []uuid.UUID{a.Member}
	changed, err := s.Store.AskAttribution(ctx, q.list.ID, a, now)
	if err != nil {
		return reconciled(err)
	}
	if !changed {
		return done(w, "the member is on the list already, for as long as the payer has said")
	}
	return done(w, "the member is on the list")
}

// memberRemove takes a member off the caller's list (Da Vinci ATR 2.1.0, OperationDefinition member-remove).
func (s *Service) memberRemove(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	q, err := s.reconcile(w, r, c, models.OpMemberRemove, removeParameters)
	if err != nil {
		return err
	}
	ctx := r.Context()
	which := store.Attributed{Coverage: q.coverage}
	if which.Member, err = s.meant(ctx, q); err != nil {
		return reconciled(err)
	}
	claim, err := s.Store.Claim(ctx, q.list.ID, []uuid.UUID{which.Member})
	if err != nil {
		return reconciled(err)
	}
	if q.providerAt != "" {
		which.NPIs = []string{q.npi}
		if slices.Contains(models.NPIs(claim.Asker.Organizations), q.npi) {
			which.NPIs = append(which.NPIs, "") // whose list it is
		}
	}
	absent := models.Errorf(models.KindNotFound, "the list has no such attribution").At(q.memberAt)
	if recheck.Listed(&claim, which.Member, s.now()).Hidden {
		return absent // they have opted out: nothing tells of them, nor does a new version of the list
	}
	trail.Of(ctx).Members = []uuid.UUID{which.Member}
	n, err := s.Store.RemoveAttributions(ctx, q.list.ID, which)
	if err != nil {
		return reconciled(err)
	}
	if n == 0 {
		return absent
	}
	return done(w, "the member is off the list")
}

func done(w http.ResponseWriter, what string) error {
	text, err := json.Marshal(fhir.Outcome(fhir.NewIssue(fhir.SeverityInformation, fhir.IssueInformational, what)))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	answer.Write(w, http.StatusOK, answer.FHIRJSON, text)
	return nil
}

// reconciled tells a fault of ours from one of the request's.
func reconciled(err error) error {
	if models.KindOf(err) == models.KindInternal {
		return models.Errorf(models.KindUnavailable, "the list cannot be changed at the moment; send the request again").Wait(5).Because(err)
	}
	return err
}

// reconcile checks and reads a request to change an attribution list of the caller's.
func (s *Service) reconcile(w http.ResponseWriter, r *http.Request, c *auth.Caller, op models.Operation, parameters []string) (*reconciliation, error) {
	if !c.MayReconcile(op) {
		return nil, models.Errorf(models.KindForbidden, "the token does not cover $%s", op)
	}
	g, err := s.ownGroup(r, c, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if g.Profile != models.AttributionGroupProfile {
		return nil, models.Errorf(models.KindUnprocessable, "only an attribution list can be changed; run a match for another Group")
	}
	if r.URL.RawQuery != "" {
		return nil, models.Errorf(models.KindInvalid, "the parameters come in a Parameters resource, none in the query")
	}
	if err := jsonBody(r.Header); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.KickoffBody))
	if fault := bodyFault(err); fault != nil {
		return nil, fault
	}
	if err != nil {
		return nil, models.Errorf(models.KindInvalid, "the body could not be read to its end")
	}
	doc, err := fhir.ParseParameters(body)
	if err != nil {
		return nil, err
	}
	if !unambiguous(body) {
		return nil, models.Errorf(models.KindInvalid, "an element is there twice in one object").At("Parameters")
	}
	q := &reconciliation{parameters: parameters, base: s.Base}
	if q.list, err = s.Store.AttributionList(r.Context(), g.ID); err != nil {
		return nil, reconciled(err)
	}
	if q.list.Status == models.AttributionFinal {
		return nil, models.Errorf(models.KindConflict, "the attribution list is final and does not change")
	}
	if err := q.read(doc); err != nil {
		return nil, err
	}
	if q.providerAt == providerReference && q.npi == "" {
		if q.npi, err = attribution.ProviderNPI(r.Context(), s.Store, q.provider, s.now()); err != nil {
			return nil, reconciled(err)
		}
		if q.npi == "" {
			return nil, models.Errorf(models.KindUnprocessable, "no provider with one NPI is held here by this reference").At(providerReference)
		}
	}
	return q, nil
}

// meant returns the member a request is about, uuid.Nil when that is nobody, or cannot be told.
func (s *Service) meant(ctx context.Context, q *reconciliation) (uuid.UUID, error) {
	if q.patient != "" {
		m, err := s.Store.FindMember(ctx, q.patient)
		if models.KindOf(err) == models.KindNotFound || err == nil && !m.Present {
			return uuid.Nil, nil
		}
		return m.ID, err
	}
	held, err := attribution.CardHolders(ctx, s.Store, q.card)
	if err != nil || len(held[0]) != 1 {
		return uuid.Nil, err
	}
	return held[0][0], nil
}

func (q *reconciliation) read(doc fhir.Parameters) error {
	seen := map[string]bool{}
	for _, p := range doc.Parameter {
		where := showable(p.Name)
		switch {
		case !slices.Contains(q.parameters, p.Name):
			return models.Errorf(models.KindInvalid, "this parameter is not one of %s", strings.Join(q.parameters, ", ")).At(where)
		case seen[p.Name]:
			return models.Errorf(models.KindInvalid, "this parameter may be given once only").At(where)
		case p.Resource != nil || len(p.Part) > 0:
			return models.Errorf(models.KindInvalid, "this parameter has a value and nothing else").At(where)
		}
		seen[p.Name] = true
		if err := q.take(p); err != nil {
			return err.At(where)
		}
	}
	switch {
	case seen[memberID] && seen[patientReference]:
		return models.Errorf(models.KindInvalid, "name the member by %s or by this, not by both", memberID).At(patientReference)
	case seen[providerNPI] && seen[providerReference]:
		return models.Errorf(models.KindInvalid, "name the provider by %s or by this, not by both", providerNPI).At(providerReference)
	case q.memberAt == "":
		return models.Errorf(models.KindInvalid, "say who is meant by %s or %s", memberID, patientReference).At(memberID)
	}
	return nil
}

// take reads one parameter.
func (q *reconciliation) take(p fhir.Parameter) *models.Error {
	var wanted string
	var identifier fhir.Identifier
	var ref fhir.Reference
	var period fhir.Period
	var err error
	switch p.Name {
	case memberID, providerNPI:
		wanted, err = "Identifier", json.Unmarshal(p.Value, &identifier)
	case attributionPeriod:
		wanted, err = "Period", json.Unmarshal(p.Value, &period)
	default:
		wanted, err = "Reference", json.Unmarshal(p.Value, &ref)
	}
	if p.ValueType != wanted || err != nil {
		return models.Errorf(models.KindInvalid, "this parameter has a value%s", wanted)
	}
	switch p.Name {
	case memberID:
		q.memberAt, q.card = p.Name, strings.TrimSpace(identifier.Value)
		if q.card == "" || len(q.card) > maxCard {
			return models.Errorf(models.KindInvalid, "an identifier needs a value of at most %d bytes", maxCard)
		}
	case providerNPI:
		q.providerAt, q.npi = p.Name, identifier.Value
		if identifier.System != "" {
			q.npi = models.CanonicalID(identifier.System + "|" + identifier.Value)
		}
		if !models.ValidNPI(q.npi) {
			return models.Errorf(models.KindInvalid, "must be an NPI: ten digits with a right check digit, of the system %s", models.NPISystem)
		}
	case patientReference:
		q.memberAt, q.patient = p.Name, q.local(ref.Reference, fhir.TypePatient)
		if q.patient == "" {
			return models.Errorf(models.KindInvalid, "must be a reference of the form Patient/id to a Patient of this server")
		}
	case coverageReference:
		if q.coverage = q.local(ref.Reference, fhir.TypeCoverage); q.coverage == "" {
			return models.Errorf(models.KindInvalid, "must be a reference of the form Coverage/id to a Coverage of this server")
		}
	case providerReference:
		return q.takeProvider(ref)
	case attributionPeriod:
		return q.takePeriod(period)
	}
	return nil
}

// maxCard bounds a number on a card, in bytes.
const maxCard = 64

// takeProvider reads a reference to a provider of this server, or one by NPI.
func (q *reconciliation) takeProvider(ref fhir.Reference) *models.Error {
	q.providerAt = providerReference
	for _, typ := range []int16{fhir.TypePractitioner, fhir.TypePractitionerRole, fhir.TypeOrganization} {
		if id := q.local(ref.Reference, typ); id != "" {
			q.provider = fhir.TypeName(typ) + "/" + id
			return nil
		}
	}
	if ref.Reference == "" && ref.Identifier != nil {
		if q.npi = models.CanonicalID(ref.Identifier.System + "|" + ref.Identifier.Value); models.ValidNPI(q.npi) {
			return nil
		}
	}
	return models.Errorf(models.KindInvalid, "must be a reference to a Practitioner, PractitionerRole or Organization of this server")
}

func (q *reconciliation) takePeriod(p fhir.Period) *models.Error {
	if p.Start == "" && p.End == "" {
		return models.Errorf(models.KindInvalid, "a period needs a start or an end")
	}
	if p.Start != "" {
		d, err := fhir.ParseDateTime(p.Start)
		if err != nil {
			return models.Errorf(models.KindInvalid, "the start is not a date or instant")
		}
		from, _ := d.Range()
		q.start = new(time.UnixMilli(from).UTC())
	}
	if p.End != "" {
		d, err := fhir.ParseDateTime(p.End)
		if err != nil {
			return models.Errorf(models.KindInvalid, "the end is not a date or instant")
		}
		_, to := d.Range()
		q.end = new(time.UnixMilli(to).UTC())
	}
	return nil
}

// local returns the id of a resource of this server that a reference names, "" when it names another, or one of another type.
func (q *reconciliation) local(ref string, typ int16) string {
	rest := strings.TrimPrefix(ref, q.base+"/")
	if id, ok := strings.CutPrefix(rest, fhir.TypeName(typ)+"/"); ok && fhir.ValidID(id) {
		return id
	}
	return ""
}

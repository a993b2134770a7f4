package admin

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/attribution"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

// addProgrammeRoutes registers the routes by which a Provider Access programme is run: opt-outs, treatment relationships, the
// provider directory, lines of business, and who is a member. No path or query tells of a person: members are found by a body and
// are named by row ids from then on.
func (s *Service) addProgrammeRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	editors := func(o huma.Operation) huma.Operation {
		roles := []string{string(models.RoleOptOutEditor)}
		if o.Method == http.MethodGet {
			roles = append(roles, string(models.RoleOperator))
		}
		o.Metadata = map[string]any{RoleKey: roles, PersonKey: true}
		return o
	}
	search := editors(op(http.MethodPost, "/admin/members/search", "search-members", "Find a member by Patient id, or members by a card", http.StatusOK))
	search.Metadata[ReadKey] = true
	huma.Register(api, search, s.searchMembers)

	huma.Register(api, editors(op(http.MethodPost, "/admin/opt-outs", "create-opt-out", "Enter a member's opt-out", http.StatusCreated)), s.createOptOut)
	huma.Register(api, editors(op(http.MethodGet, "/admin/opt-outs", "list-opt-outs", "List opt-outs, revoked ones too", http.StatusOK)), s.listOptOuts)
	huma.Register(api, editors(op(http.MethodGet, "/admin/opt-outs/{id}", "get-opt-out", "Show an opt-out", http.StatusOK)), s.getOptOut)
	huma.Register(api, editors(op(http.MethodPost, "/admin/opt-outs/{id}/revoke", "revoke-opt-out", "End an opt-out", http.StatusOK)), s.revokeOptOut)

	huma.Register(api, editors(op(http.MethodPost, "/admin/relationships", "put-relationship", "Enter a treatment relationship, or change its period", http.StatusOK)), s.putRelationship)
	huma.Register(api, editors(op(http.MethodGet, "/admin/relationships", "list-relationships", "List treatment relationships", http.StatusOK)), s.listRelationships)
	huma.Register(api, editors(op(http.MethodGet, "/admin/relationships/{id}", "get-relationship", "Show a treatment relationship", http.StatusOK)), s.getRelationship)
	huma.Register(api, editors(op(http.MethodDelete, "/admin/relationships/{id}", "delete-relationship", "Take a relationship off the list", http.StatusNoContent)), s.remove(s.Store.DeleteRelationship))

	huma.Register(api, op(http.MethodPut, "/admin/providers/{npi}", "put-provider", "Enter a provider into the directory, or change the entry", http.StatusOK), s.putProvider)
	huma.Register(api, op(http.MethodGet, "/admin/providers/{npi}", "get-provider", "Show a provider", http.StatusOK), s.getProvider)
	huma.Register(api, op(http.MethodGet, "/admin/providers", "list-providers", "List the provider directory by NPI", http.StatusOK), s.listProviders)
	huma.Register(api, op(http.MethodDelete, "/admin/providers/{npi}", "delete-provider", "Take a provider out of the directory", http.StatusNoContent), s.deleteProvider)

	huma.Register(api, op(http.MethodPut, "/admin/lines/{code}", "put-line", "Enter a line of business, or change it", http.StatusOK), s.putLine)
	huma.Register(api, op(http.MethodGet, "/admin/lines", "list-lines", "List lines of business", http.StatusOK), s.listLines)
	huma.Register(api, op(http.MethodGet, "/admin/lines/{code}", "get-line", "Show a line of business", http.StatusOK), s.getLine)
	huma.Register(api, op(http.MethodDelete, "/admin/lines/{code}", "delete-line", "Remove a line of business", http.StatusNoContent), s.deleteLine)
}

// revision is the entity tag of a row by when it was last written.
func revision(at time.Time) string { return `"` + strconv.FormatInt(at.UnixMicro(), 36) + `"` }

// Condition is that of a write: the row is as it was read. Without it the write is unconditional.
type Condition struct {
	IfMatch string `header:"If-Match" doc:"the ETag of the row that is changed; 412 when it is another by now"`
}

func (h Condition) since() (*time.Time, error) {
	if h.IfMatch == "" || h.IfMatch == "*" {
		return nil, nil
	}
	at, err := strconv.ParseInt(strings.Trim(h.IfMatch, `"`), 36, 64)
	if err != nil {
		return nil, problem(models.Errorf(models.KindInvalid, "must be an ETag of this server").At("If-Match"))
	}
	return new(time.UnixMicro(at).UTC()), nil
}

// row is one row with its entity tag.
type row[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

type memberSearch struct {
	Patient string `json:"patient,omitempty" maxLength:"64" doc:"our Patient id; or give card"`
	Card    string `json:"card,omitempty" maxLength:"64" doc:"a number as on a card of theirs: member id, subscriber id, Medicare id; letters and digits count"`
}

type memberView struct {
	Member  uuid.UUID `json:"member" doc:"row id, by which other routes know the member"`
	Patient string    `json:"patient" doc:"our Patient id"`
	Held    bool      `json:"held" doc:"false when resources came without their Patient"`
}

func (s *Service) searchMembers(ctx context.Context, in *struct{ Body memberSearch }) (*listOf[memberView], error) {
	if (in.Body.Patient == "") == (in.Body.Card == "") {
		return nil, problem(models.Errorf(models.KindUnprocessable, "give a Patient id or a number of a card").At("body"))
	}
	if in.Body.Card != "" {
		return s.searchCard(ctx, in.Body.Card)
	}
	m, err := s.Store.FindMember(ctx, in.Body.Patient)
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return newList[memberView](nil, 1, nil), nil
	case err != nil:
		return nil, s.fault(ctx, err)
	}
	return newList([]memberView{{m.ID, m.Patient, m.Present}}, 1, nil), nil
}

// searchCard finds who has a number on a card: one member, or a family. More than store.MaxCrowd have none in common.
func (s *Service) searchCard(ctx context.Context, number string) (*listOf[memberView], error) {
	held, err := attribution.CardHolders(ctx, s.Store, number)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	ids := held[0]
	patients, err := s.Store.PatientIDs(ctx, ids)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]memberView, len(ids))
	for i, id := range ids {
		views[i] = memberView{id, patients[id], true}
	}
	slices.SortFunc(views, func(a, b memberView) int { return strings.Compare(a.Patient, b.Patient) })
	return newList(views, len(views), nil), nil
}

type optOutBody struct {
	Patient string              `json:"patient" maxLength:"64" doc:"our Patient id"`
	Scope   models.OptOutScope  `json:"scope" maxLength:"64" doc:"global, provider-specific, purpose-specific, payer-specific or provider-category"`
	Target  string              `json:"target,omitempty" maxLength:"512" doc:"what it is from: an NPI or system|value, a purpose of use, a payer's system|value, a NUCC taxonomy code or its first four characters; nothing for global"`
	Reason  models.OptOutReason `json:"reason" maxLength:"64" doc:"privacy-concern, data-security, unknown-use, provider-relationship, member-choice or other"`
	Start   *time.Time          `json:"start,omitempty" doc:"from when it stands; now unless given"`
	End     *time.Time          `json:"end,omitempty" doc:"when it ends; for good unless given"`
}

type optOutView struct {
	ID         string                  `json:"id"`
	Member     uuid.UUID               `json:"member"`
	Scope      models.OptOutScope      `json:"scope"`
	Target     string                  `json:"target,omitempty"`
	Reason     models.OptOutReason     `json:"reason"`
	Start      time.Time               `json:"start"`
	End        *time.Time              `json:"end,omitempty"`
	Source     models.OptOutSource     `json:"source"`
	CreatedBy  string                  `json:"createdBy"`
	CreatedAt  time.Time               `json:"createdAt"`
	RevokedAt  *time.Time              `json:"revokedAt,omitempty"`
	RevokedBy  string                  `json:"revokedBy,omitempty"`
	RevokedWhy models.RevocationReason `json:"revokedWhy,omitempty"`
}

func viewOptOut(o models.OptOut) optOutView {
	return optOutView{
		ID: o.ID, Member: o.Member, Scope: o.Scope, Target: o.Target, Reason: o.Reason, Start: o.Start, End: o.End, Source: o.Source,
		CreatedBy: o.CreatedBy, CreatedAt: o.CreatedAt, RevokedAt: o.RevokedAt, RevokedBy: o.RevokedBy, RevokedWhy: o.RevokedWhy,
	}
}

// keyed derives the id of what a request with an Idempotency-Key makes, so that the request sent again makes the same.
func keyed(ctx context.Context, kind, key string) (string, error) {
	if key == "" {
		return models.NewID(), nil
	}
	if len(key) > 255 {
		return "", problem(models.Errorf(models.KindInvalid, "must be at most 255 bytes").At("Idempotency-Key"))
	}
	sum := sha256.Sum256([]byte(kind + "\x00" + ActorOf(ctx).ID + "\x00" + key))
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 variant
	return id.String(), nil
}

func memberOf(patient string) (uuid.UUID, error) {
	if !fhir.ValidID(patient) {
		return uuid.Nil, problem(models.Errorf(models.KindUnprocessable, "must be the id of a Patient").At("patient"))
	}
	return models.MemberID(patient), nil
}

// unknownMember turns what is not found into a fault of the body, since the path is right.
func unknownMember(err error) error {
	if models.KindOf(err) == models.KindNotFound {
		return models.Errorf(models.KindUnprocessable, "no member has this Patient id").At("patient")
	}
	return err
}

func (s *Service) createOptOut(ctx context.Context, in *struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"the same key again makes the same row"`
	Body           optOutBody
},
) (*struct {
	Status   int
	Location string `header:"Location"`
	Body     optOutView
}, error,
) {
	id, err := keyed(ctx, "opt-out", in.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	member, err := memberOf(in.Body.Patient)
	if err != nil {
		return nil, err
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	o := models.OptOut{
		ID: id, Member: member, Scope: in.Body.Scope, Target: in.Body.Target, Reason: in.Body.Reason, Start: now, End: in.Body.End,
		Source: models.OptOutByAdmin, CreatedBy: ActorOf(ctx).ID, CreatedAt: now,
	}
	if in.Body.Start != nil {
		o.Start = *in.Body.Start
	}
	stored, created, err := s.Store.CreateOptOut(ctx, o)
	if err != nil {
		return nil, s.fault(ctx, unknownMember(err))
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return &struct {
		Status   int
		Location string `header:"Location"`
		Body     optOutView
	}{status, "/admin/opt-outs/" + stored.ID, viewOptOut(stored)}, nil
}

func (s *Service) listOptOuts(ctx context.Context, in *struct {
	Page
	Member  string             `query:"member" doc:"row id of a member: what they said, all of it"`
	Scope   models.OptOutScope `query:"scope" enum:"global,provider-specific,purpose-specific,payer-specific,provider-category"`
	Revoked string             `query:"revoked" enum:"true,false"`
},
) (*listOf[optOutView], error) {
	f := store.OptOutFilter{Scope: in.Scope, After: in.Cursor}
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	var err error
	if f.Member, err = memberFilter(in.Member); err != nil {
		return nil, err
	}
	if in.Revoked != "" {
		f.Revoked = new(in.Revoked == "true")
	}
	rows, err := s.Store.OptOuts(ctx, f, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]optOutView, len(rows))
	for i, o := range rows {
		views[i] = viewOptOut(o)
	}
	return newList(views, in.Limit, func(o optOutView) string { return o.ID }), nil
}

func memberFilter(id string) (*uuid.UUID, error) {
	if id == "" {
		return nil, nil
	}
	if !models.ValidID(id) {
		return nil, problem(models.Errorf(models.KindInvalid, "must be the row id of a member; search for it first").At("member"))
	}
	return new(uuid.MustParse(id)), nil
}

func (s *Service) getOptOut(ctx context.Context, in *ByID) (*struct{ Body optOutView }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	o, err := s.Store.OptOut(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body optOutView }{viewOptOut(o)}, nil
}

func (s *Service) revokeOptOut(ctx context.Context, in *struct {
	ByID
	Body struct {
		Reason models.RevocationReason `json:"reason" enum:"member-choice,entered-in-error,superseded"`
	}
},
) (*struct{ Body optOutView }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	o, err := s.Store.RevokeOptOut(ctx, in.ID, s.now(), ActorOf(ctx).ID, in.Body.Reason)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body optOutView }{viewOptOut(o)}, nil
}

type relationshipBody struct {
	Patient string                  `json:"patient" maxLength:"64" doc:"our Patient id"`
	NPI     string                  `json:"npi" maxLength:"10" doc:"of the rendering provider or of an organisation"`
	Type    models.RelationshipType `json:"type" maxLength:"20" doc:"active, past or prospective"`
	Start   time.Time               `json:"start"`
	End     *time.Time              `json:"end,omitempty"`
}

type relationshipView struct {
	ID        string                    `json:"id"`
	Member    uuid.UUID                 `json:"member"`
	NPI       string                    `json:"npi"`
	Type      models.RelationshipType   `json:"type"`
	Start     time.Time                 `json:"start"`
	End       *time.Time                `json:"end,omitempty"`
	Source    models.RelationshipSource `json:"source"`
	CreatedBy string                    `json:"createdBy"`
	UpdatedAt time.Time                 `json:"updatedAt"`
}

func viewRelationship(r models.Relationship) relationshipView {
	return relationshipView{r.ID, r.Member, r.NPI, r.Type, r.Start, r.End, r.Source, r.CreatedBy, r.UpdatedAt}
}

func (s *Service) getRelationship(ctx context.Context, in *ByID) (*row[relationshipView], error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	r, err := s.Store.Relationship(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[relationshipView]{revision(r.UpdatedAt), viewRelationship(r)}, nil
}

func (s *Service) putRelationship(ctx context.Context, in *struct {
	Condition
	Body relationshipBody
},
) (*row[relationshipView], error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	member, err := memberOf(in.Body.Patient)
	if err != nil {
		return nil, err
	}
	r := models.Relationship{
		ID: models.NewID(), Member: member, NPI: in.Body.NPI, Type: in.Body.Type, Start: in.Body.Start, End: in.Body.End,
		Source: models.RelationshipByAdmin, CreatedBy: ActorOf(ctx).ID,
	}
	if since == nil {
		r, err = s.Store.PutRelationship(ctx, r)
	} else {
		r, err = s.Store.ChangeRelationship(ctx, r, *since)
	}
	if err != nil {
		return nil, s.fault(ctx, unknownMember(err))
	}
	return &row[relationshipView]{revision(r.UpdatedAt), viewRelationship(r)}, nil
}

func (s *Service) listRelationships(ctx context.Context, in *struct {
	Page
	Member string                    `query:"member" doc:"row id of a member"`
	NPI    string                    `query:"npi" maxLength:"10"`
	Source models.RelationshipSource `query:"source" enum:"admin,import,claims"`
},
) (*listOf[relationshipView], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	member, err := memberFilter(in.Member)
	if err != nil {
		return nil, err
	}
	rows, err := s.Store.Relationships(ctx, store.RelationshipFilter{Member: member, NPI: in.NPI, Source: in.Source, After: in.Cursor}, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]relationshipView, len(rows))
	for i, r := range rows {
		views[i] = viewRelationship(r)
	}
	return newList(views, in.Limit, func(r relationshipView) string { return r.ID }), nil
}

// remove returns the handler that removes a row by its id, unless it has changed since the request says it was read.
func (s *Service) remove(row func(ctx context.Context, id string, since *time.Time) error) func(context.Context, *removal) (*struct{}, error) {
	return func(ctx context.Context, in *removal) (*struct{}, error) {
		if err := checkID(in.ID); err != nil {
			return nil, err
		}
		since, err := in.since()
		if err != nil {
			return nil, err
		}
		if err := row(ctx, in.ID, since); err != nil {
			return nil, s.fault(ctx, err)
		}
		return nil, nil
	}
}

type removal struct {
	ByID
	Condition
}

type providerBody struct {
	Kind          models.ProviderKind `json:"kind" maxLength:"20" doc:"individual or organization"`
	Active        bool                `json:"active" doc:"false when the NPI was deactivated"`
	InNetwork     bool                `json:"inNetwork" doc:"under contract with us"`
	Taxonomies    []string            `json:"taxonomies,omitempty" doc:"NUCC codes, the primary one first"`
	Organizations []string            `json:"organizations,omitempty" doc:"NPIs of the organisations an individual works for"`
}

type providerView struct {
	NPI string `json:"npi"`
	providerBody
	UpdatedAt time.Time `json:"updatedAt"`
}

func viewProvider(p models.Provider) providerView {
	return providerView{p.NPI, providerBody{p.Kind, p.Active, p.InNetwork, p.Taxonomies, p.Organizations}, p.UpdatedAt}
}

// ByNPI names a provider.
type ByNPI struct {
	NPI string `path:"npi"`
}

func (s *Service) putProvider(ctx context.Context, in *struct {
	ByNPI
	Condition
	Body providerBody
},
) (*row[providerView], error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	p := models.Provider{
		NPI: in.NPI, Kind: in.Body.Kind, Active: in.Body.Active, InNetwork: in.Body.InNetwork,
		Taxonomies: in.Body.Taxonomies, Organizations: in.Body.Organizations,
	}
	if since == nil {
		p, err = s.Store.UpsertProvider(ctx, p)
	} else {
		p, err = s.Store.PutProvider(ctx, p, *since)
	}
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[providerView]{revision(p.UpdatedAt), viewProvider(p)}, nil
}

func (s *Service) getProvider(ctx context.Context, in *ByNPI) (*row[providerView], error) {
	p, err := s.Store.Provider(ctx, in.NPI)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[providerView]{revision(p.UpdatedAt), viewProvider(p)}, nil
}

func (s *Service) listProviders(ctx context.Context, in *struct {
	Page
	InNetwork string `query:"inNetwork" enum:"true,false"`
	Taxonomy  string `query:"taxonomy" maxLength:"10" doc:"a NUCC code"`
},
) (*listOf[providerView], error) {
	if in.Cursor != "" && !models.ValidNPI(in.Cursor) {
		return nil, badCursor()
	}
	f := store.ProviderFilter{Taxonomy: in.Taxonomy, After: in.Cursor}
	if in.InNetwork != "" {
		f.InNetwork = new(in.InNetwork == "true")
	}
	rows, err := s.Store.Providers(ctx, f, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]providerView, len(rows))
	for i, p := range rows {
		views[i] = viewProvider(p)
	}
	return newList(views, in.Limit, func(p providerView) string { return p.NPI }), nil
}

func (s *Service) deleteProvider(ctx context.Context, in *struct {
	ByNPI
	Condition
},
) (*struct{}, error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	if err := s.Store.DeleteProvider(ctx, in.NPI, since); err != nil {
		return nil, s.fault(ctx, err)
	}
	return nil, nil
}

type lineBody struct {
	Name        string                 `json:"name,omitempty"`
	Payers      []string               `json:"payers,omitempty" doc:"identifiers of the payer of its members, system|value"`
	Selectors   []lineSelector         `json:"selectors,omitempty" doc:"which Coverages make a member one of it: those that one of them fits"`
	HideOptOuts *bool                  `json:"hideOptOuts,omitempty" default:"true" doc:"tell of a member who opted out as of one nobody knows (PDex 2.2.0, 261a)"`
	Treatment   models.TreatmentPolicy `json:"treatment,omitempty" default:"both" enum:"list-required,attestation-sufficient,both" doc:"what a provider needs: an entry in the treatment relationship list, their own attestation, or both"`
	Lookback    int                    `json:"lookback,omitempty" doc:"for how many days a relationship that is past counts"`
}

type lineSelector struct {
	Payor string `json:"payor,omitempty" doc:"identifier of Coverage.payor, system|value, or reference|Organization/id"`
	Type  string `json:"type,omitempty" doc:"coding of Coverage.type, system|code"`
	Class string `json:"class,omitempty" doc:"a Coverage.class, its type and value: plan|GOLD"`
}

type lineView struct {
	Code string `json:"code"`
	lineBody
	UpdatedAt time.Time `json:"updatedAt"`
	ETag      string    `json:"etag" doc:"for If-Match"`
}

func viewLine(l models.LineOfBusiness) lineView {
	v := lineView{Code: l.Code, UpdatedAt: l.UpdatedAt, ETag: revision(l.UpdatedAt), lineBody: lineBody{
		Name: l.Name, Payers: l.Payers, HideOptOuts: &l.HideOptOuts, Treatment: l.Treatment, Lookback: l.Lookback,
	}}
	for _, sel := range l.Selectors {
		v.Selectors = append(v.Selectors, lineSelector(sel))
	}
	return v
}

// ByCode names a line of business.
type ByCode struct {
	Code string `path:"code"`
}

func (s *Service) putLine(ctx context.Context, in *struct {
	ByCode
	Condition
	Body lineBody
},
) (*row[lineView], error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	l := models.LineOfBusiness{
		Code: in.Code, Name: in.Body.Name, Payers: in.Body.Payers, HideOptOuts: in.Body.HideOptOuts == nil || *in.Body.HideOptOuts,
		Treatment: in.Body.Treatment, Lookback: in.Body.Lookback,
	}
	for _, sel := range in.Body.Selectors {
		l.Selectors = append(l.Selectors, models.LineSelector(sel))
	}
	if l, err = s.Store.PutLine(ctx, l, since); err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[lineView]{revision(l.UpdatedAt), viewLine(l)}, nil
}

func (s *Service) listLines(ctx context.Context, _ *struct{}) (*listOf[lineView], error) {
	lines, err := s.Store.Lines(ctx)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]lineView, len(lines))
	for i, l := range lines {
		views[i] = viewLine(l)
	}
	return newList(views, len(views), nil), nil
}

func (s *Service) getLine(ctx context.Context, in *ByCode) (*row[lineView], error) {
	l, err := s.Store.Line(ctx, in.Code)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[lineView]{revision(l.UpdatedAt), viewLine(l)}, nil
}

func (s *Service) deleteLine(ctx context.Context, in *struct {
	ByCode
	Condition
},
) (*struct{}, error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	if err := s.Store.DeleteLine(ctx, in.Code, since); err != nil {
		return nil, s.fault(ctx, err)
	}
	return nil, nil
}

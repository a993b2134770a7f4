package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/attribution"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/recheck"
	"pdexbulk/models/store"
)

// maxAttributed is how many members one request may put on a list. More come in several.
const maxAttributed = 10_000

// addAttributionRoutes registers the routes by which attribution lists are kept: the Groups of Provider Access, version 1.
func (s *Service) addAttributionRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	ofPersons := func(o huma.Operation) huma.Operation {
		o.Metadata = map[string]any{PersonKey: true}
		return o
	}
	const base = "/admin/attribution-lists"
	huma.Register(api, op(http.MethodPost, base, "create-attribution-list", "Make an attribution list for a provider's client", http.StatusCreated), s.createAttributionList)
	huma.Register(api, op(http.MethodGet, base, "list-attribution-lists", "List attribution lists", http.StatusOK), s.listAttributionLists)
	huma.Register(api, op(http.MethodGet, base+"/{id}", "get-attribution-list", "Show an attribution list, without its members", http.StatusOK), s.getAttributionList)
	huma.Register(api, op(http.MethodPut, base+"/{id}", "put-attribution-list", "Make an attribution list, or change one; the id is that of the Group", http.StatusOK), s.putAttributionList)
	huma.Register(api, op(http.MethodDelete, base+"/{id}", "delete-attribution-list", "Remove an attribution list", http.StatusNoContent), s.remove(s.Store.DeleteAttributionList))
	huma.Register(api, ofPersons(op(http.MethodGet, base+"/{id}/members", "list-attributed", "List who is on an attribution list, and whether their data may leave", http.StatusOK)), s.listAttributed)
	huma.Register(api, op(http.MethodPost, base+"/{id}/members", "add-attributed", "Put members on an attribution list, or change how they are on it", http.StatusOK), s.addAttributed)
	huma.Register(api, op(http.MethodPost, base+"/{id}/members/remove", "remove-attributed", "Take a member off an attribution list; on a draft they become inactive", http.StatusOK), s.removeAttributed)
}

// Whoever names one member.
type Whoever struct {
	Patient string `json:"patient,omitempty" maxLength:"64" doc:"our Patient id"`
	Member  string `json:"member,omitempty" maxLength:"36" doc:"or the row id"`
	Card    string `json:"card,omitempty" maxLength:"64" doc:"or a number on a card that is one member's alone"`
}

type attributedBody struct {
	Whoever
	NPI      string     `json:"npi,omitempty" maxLength:"10" doc:"of the provider the member is attributed to; the one whose list it is unless given"`
	Coverage string     `json:"coverage,omitempty" maxLength:"64" doc:"id of the Coverage that puts the member on the list; the only one that is held unless given"`
	Start    *time.Time `json:"start,omitempty" doc:"the list's unless given"`
	End      *time.Time `json:"end,omitempty" doc:"open unless given"`
	Inactive bool       `json:"inactive,omitempty" doc:"no longer attributed"`
}

type attributionListBody struct {
	Client      string                   `json:"client" maxLength:"255" doc:"of a provider; it never changes"`
	Name        string                   `json:"name,omitempty" maxLength:"200"`
	Status      models.AttributionStatus `json:"status" enum:"draft,open,final" doc:"draft is not ready for use, open is in use and changes, final does not change"`
	Identifiers []string                 `json:"identifiers,omitempty" doc:"system|value: NPI or TIN of the provider, number of the contract; the provider finds the Group by them"`
	Purposes    []string                 `json:"purposes,omitempty" doc:"of use, such as TREAT; without any, an opt-out from whatever purpose applies"`
	Start       *time.Time               `json:"start,omitempty" doc:"of the contract; now, or what it was, unless given"`
	End         *time.Time               `json:"end,omitempty" doc:"of the contract; the list can be had until then"`
	Members     *[]attributedBody        `json:"members,omitempty" maxItems:"10000" doc:"all that are on the list from then on; those that are on it stay unless given"`
}

type attributionListView struct {
	ID          string                   `json:"id" doc:"of the Group"`
	Client      string                   `json:"client"`
	Name        string                   `json:"name,omitempty"`
	Status      models.AttributionStatus `json:"status"`
	Identifiers []string                 `json:"identifiers"`
	Purposes    []string                 `json:"purposes"`
	Start       time.Time                `json:"start"`
	End         *time.Time               `json:"end,omitempty"`
	Members     int64                    `json:"members" doc:"with an attribution that is not inactive, opted out or not"`
	Version     int64                    `json:"version"`
	CreatedAt   time.Time                `json:"createdAt"`
	UpdatedAt   time.Time                `json:"updatedAt"`
	ETag        string                   `json:"etag" doc:"for If-Match"`
}

func viewAttributionList(l models.AttributionList) attributionListView {
	return attributionListView{
		ID: l.ID, Client: l.ClientID, Name: l.Name, Status: l.Status, Identifiers: l.Identifiers, Purposes: l.Purposes, Start: l.Start, End: l.End,
		Members: l.Members, Version: l.Version, CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt, ETag: revision(l.UpdatedAt),
	}
}

func (s *Service) createAttributionList(ctx context.Context, in *struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"the same key again makes the same list"`
	Body           attributionListBody
},
) (*struct {
	Status   int
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     attributionListView
}, error,
) {
	id, err := keyed(ctx, "attribution-list", in.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	l, err := s.Store.AttributionList(ctx, id)
	if models.KindOf(err) == models.KindNotFound {
		status = http.StatusCreated
		l, err = s.storeAttributionList(ctx, id, in.Body, nil)
	}
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct {
		Status   int
		Location string `header:"Location"`
		ETag     string `header:"ETag"`
		Body     attributionListView
	}{status, "/admin/attribution-lists/" + id, revision(l.UpdatedAt), viewAttributionList(l)}, nil
}

func (s *Service) putAttributionList(ctx context.Context, in *struct {
	ByID
	Condition
	Body attributionListBody
},
) (*row[attributionListView], error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	l, err := s.storeAttributionList(ctx, in.ID, in.Body, since)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[attributionListView]{revision(l.UpdatedAt), viewAttributionList(l)}, nil
}

func (s *Service) storeAttributionList(ctx context.Context, id string, b attributionListBody, since *time.Time) (models.AttributionList, error) {
	l := models.AttributionList{
		ID: id, ClientID: b.Client, Name: b.Name, Status: b.Status, Identifiers: b.Identifiers, Purposes: b.Purposes, End: b.End,
		Start: s.now().UTC().Truncate(time.Millisecond),
	}
	if b.Start != nil {
		l.Start = *b.Start
	} else if old, err := s.Store.AttributionList(ctx, id); err == nil {
		l.Start = old.Start
	}
	var members *[]models.Attribution
	if b.Members != nil {
		list, err := s.attributions(ctx, *b.Members, l.Start)
		if err != nil {
			return l, err
		}
		members = &list
	}
	l, _, err := s.Store.PutAttributionList(ctx, l, s.HolderIDs, members, since)
	return l, err
}

// attributions finds out who is meant. The error is KindUnprocessable at the first of whom that cannot be said.
func (s *Service) attributions(ctx context.Context, given []attributedBody, start time.Time) ([]models.Attribution, error) {
	members, err := s.whom(ctx, given)
	if err != nil {
		return nil, err
	}
	coverages, err := s.Store.CoveragesOf(ctx, members)
	if err != nil {
		return nil, err
	}
	out := make([]models.Attribution, len(given))
	for i, g := range given {
		a := models.Attribution{Member: members[i], NPI: g.NPI, Coverage: g.Coverage, Start: start, End: g.End, Inactive: g.Inactive}
		if g.Start != nil {
			a.Start = *g.Start
		}
		held := coverages[a.Member]
		switch {
		case a.Coverage != "" && !slices.Contains(held, a.Coverage):
			return nil, models.Errorf(models.KindUnprocessable, "no Coverage of the member has this id").At(fmt.Sprintf("members[%d].coverage", i))
		case a.Coverage == "" && len(held) == 1:
			a.Coverage = held[0]
		}
		out[i] = a
	}
	return out, nil
}

// whom finds the members that are named, in their order.
func (s *Service) whom(ctx context.Context, given []attributedBody) ([]uuid.UUID, error) {
	if len(given) > maxAttributed {
		return nil, models.Errorf(models.KindUnprocessable, "at most %d members go into one request; send the others in further ones", maxAttributed).At("members")
	}
	fault := func(i int, field, text string) error {
		return models.Errorf(models.KindUnprocessable, "%s", text).At(fmt.Sprintf("members[%d].%s", i, field))
	}
	members := make([]uuid.UUID, len(given))
	var numbers []string
	for _, g := range given {
		if g.Card != "" {
			numbers = append(numbers, g.Card)
		}
	}
	holders, err := attribution.CardHolders(ctx, s.Store, numbers...)
	if err != nil {
		return nil, err
	}
	for i, g := range given {
		switch {
		case g.Card != "" && g.Patient == "" && g.Member == "":
			held := holders[0]
			holders = holders[1:]
			if len(held) != 1 {
				return nil, fault(i, "card", "not on the card of one member alone")
			}
			members[i] = held[0]
		case g.Patient != "" && g.Card == "" && g.Member == "":
			if !fhir.ValidID(g.Patient) {
				return nil, fault(i, "patient", "must be the id of a Patient")
			}
			members[i] = models.MemberID(g.Patient)
		case g.Member != "" && g.Card == "" && g.Patient == "":
			if !models.ValidID(g.Member) {
				return nil, fault(i, "member", "must be the row id of a member")
			}
			members[i] = uuid.MustParse(g.Member)
		default:
			return nil, fault(i, "patient", "name each by one of patient, member and card")
		}
	}
	held, err := s.Store.Held(ctx, members)
	if err != nil {
		return nil, err
	}
	for i, g := range given {
		if held[members[i]] {
			continue
		}
		field := "patient"
		if g.Member != "" {
			field = "member"
		}
		return nil, fault(i, field, "no member has this id")
	}
	return members, nil
}

func (s *Service) listAttributionLists(ctx context.Context, in *struct {
	Page
	Client string `query:"client" maxLength:"255" doc:"whose they are"`
},
) (*listOf[attributionListView], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	rows, err := s.Store.AttributionLists(ctx, in.Client, in.Cursor, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]attributionListView, len(rows))
	for i, l := range rows {
		views[i] = viewAttributionList(l)
	}
	return newList(views, in.Limit, func(l attributionListView) string { return l.ID }), nil
}

func (s *Service) getAttributionList(ctx context.Context, in *ByID) (*row[attributionListView], error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	l, err := s.Store.AttributionList(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[attributionListView]{revision(l.UpdatedAt), viewAttributionList(l)}, nil
}

type attributedView struct {
	Member       uuid.UUID         `json:"member"`
	Patient      string            `json:"patient,omitempty" doc:"our Patient id, when it is held"`
	Attributions []attributionView `json:"attributions"`
	Shown        bool              `json:"shown" doc:"the Group tells of them"`
	Open         bool              `json:"open" doc:"their data may leave, as far as the list goes"`
	Reason       consent.Reason    `json:"reason" doc:"why, in a fixed code; never told to the provider"`
}

type attributionView struct {
	NPI      string                   `json:"npi,omitempty" doc:"without one, the provider whose list it is"`
	Provider string                   `json:"provider,omitempty" doc:"as the provider was referred to"`
	Coverage string                   `json:"coverage,omitempty"`
	Start    time.Time                `json:"start"`
	End      *time.Time               `json:"end,omitempty"`
	Inactive bool                     `json:"inactive"`
	Asked    bool                     `json:"asked" doc:"by the provider; it stands while the treatment relationship list says so"`
	Change   models.AttributionChange `json:"change"`
	Stands   bool                     `json:"stands"`
}

func (s *Service) listAttributed(ctx context.Context, in *struct {
	ByID
	Page
},
) (*listOf[attributedView], error) {
	if _, err := s.getAttributionList(ctx, &in.ByID); err != nil {
		return nil, err
	}
	after := uuid.Nil
	if in.Cursor != "" {
		if err := checkCursor(in.Cursor); err != nil {
			return nil, err
		}
		after = uuid.MustParse(in.Cursor)
	}
	rows, err := s.Store.ListedMembers(ctx, in.ID, after, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	members := make([]uuid.UUID, len(rows))
	for i, m := range rows {
		members[i] = m.Member
	}
	claim, err := s.Store.Claim(ctx, in.ID, members)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]attributedView, len(rows))
	for i, m := range rows {
		views[i] = viewAttributed(m, &claim, s.now())
	}
	return newList(views, in.Limit, func(v attributedView) string { return v.Member.String() }), nil
}

func viewAttributed(m store.ListedMember, claim *store.Claim, at time.Time) attributedView {
	d := recheck.Listed(claim, m.Member, at)
	v := attributedView{Member: m.Member, Patient: m.Patient, Shown: m.Patient != "" && !d.Hidden, Open: m.Patient != "" && d.Open(), Reason: d.Reason}
	for i, a := range claim.Attributions[m.Member] {
		v.Attributions = append(v.Attributions, attributionView{
			NPI: a.NPI, Provider: a.Provider, Coverage: a.Coverage, Start: a.Start, End: a.End, Inactive: a.Inactive, Asked: a.Asked, Change: a.Change, Stands: d.Stands[i],
		})
	}
	return v
}

func (s *Service) addAttributed(ctx context.Context, in *struct {
	ByID
	Body struct {
		Members []attributedBody `json:"members" minItems:"1" maxItems:"10000"`
	}
},
) (*row[attributionListView], error) {
	l, err := s.getAttributionList(ctx, &in.ByID)
	if err != nil {
		return nil, err
	}
	list, err := s.attributions(ctx, in.Body.Members, l.Body.Start)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	changed, err := s.Store.AddAttributions(ctx, in.ID, list)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[attributionListView]{revision(changed.UpdatedAt), viewAttributionList(changed)}, nil
}

func (s *Service) removeAttributed(ctx context.Context, in *struct {
	ByID
	Body struct {
		Whoever
		NPI      string `json:"npi,omitempty" maxLength:"10" doc:"attributed to this provider alone"`
		Coverage string `json:"coverage,omitempty" maxLength:"64" doc:"for this Coverage alone"`
	}
},
) (*struct {
	Body struct {
		Removed int64 `json:"removed" doc:"attributions"`
	}
}, error,
) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	members, err := s.whom(ctx, []attributedBody{{Whoever: in.Body.Whoever}})
	if fault, ok := errors.AsType[*models.Error](err); ok {
		err = fault.At(strings.TrimPrefix(fault.Where, "members[0]."))
	}
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	which := store.Attributed{Member: members[0], Coverage: in.Body.Coverage}
	if in.Body.NPI != "" {
		which.NPIs = []string{in.Body.NPI}
	}
	n, err := s.Store.RemoveAttributions(ctx, in.ID, which)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	out := &struct {
		Body struct {
			Removed int64 `json:"removed" doc:"attributions"`
		}
	}{}
	out.Body.Removed = n
	return out, nil
}

package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/attribution"
	"pdexbulk/models/fhir"
)

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

func memberFilter(id string) (*uuid.UUID, error) {
	if id == "" {
		return nil, nil
	}
	if !models.ValidID(id) {
		return nil, problem(models.Errorf(models.KindInvalid, "must be the row id of a member; search for it first").At("member"))
	}
	return new(uuid.MustParse(id)), nil
}

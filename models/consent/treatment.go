package consent

import (
	"slices"
	"time"

	"pdexbulk/models"
)

// ReasonNoRelationship says that the treatment relationship list does not hold the one who asks.
const ReasonNoRelationship Reason = "no-treatment-relationship"

// Treats says whether a list of a member's relationships holds one, at a moment, with the individuals or the organisation that
// ask. One that is past counts for the given number of days after its end, one that is prospective from when it is entered.
func Treats(list []models.Relationship, r Requester, lookback int, at time.Time) bool {
	return slices.ContainsFunc(list, func(rel models.Relationship) bool {
		return (hasID(r.NPIs, rel.NPI) || hasID(r.Organizations, rel.NPI)) && current(rel, lookback, at)
	})
}

func current(rel models.Relationship, lookback int, at time.Time) bool {
	switch rel.Type {
	case models.RelationshipActive:
		return !at.Before(rel.Start) && (rel.End == nil || at.Before(*rel.End))
	case models.RelationshipProspective:
		return rel.End == nil || at.Before(*rel.End)
	case models.RelationshipPast:
		return rel.End != nil && !at.Before(rel.Start) && at.Before(rel.End.AddDate(0, 0, lookback))
	}
	return false
}

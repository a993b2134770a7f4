package activities

import (
	"context"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

const (
	pdex            = "http://hl7.org/fhir/us/davinci-pdex/"
	matchGroup      = models.MatchGroupProfile
	noMatchGroup    = pdex + "StructureDefinition/pdex-member-no-match-group"
	matchOutProfile = pdex + "StructureDefinition/pdex-parameters-multi-member-match-bundle-out"
)

// matchKind is what tells one member-match operation from another.
type matchKind struct {
	outProfile string // of the Parameters with the Groups
	buckets    []bucket
	life       func(GroupLife) time.Duration
	// judge gives an outcome to people of a slice, each of whom was found to be one member.
	judge func(context.Context, *Activities, matchRun, []*submitted) error
	// alike has the same done for people whom nobody knows as for members, so that time does not tell who is one.
	alike bool
}

// matchRun is the match that people are judged for.
type matchRun struct {
	job    *models.Job
	params models.MatchParams
	at     time.Time
	// strangers are the people of the slice who were not found, of a kind that treats all alike.
	strangers []*submitted
}

// bucket is a Group that a match may answer with. The first of a kind is that of the matched members.
type bucket struct {
	outcome   string
	parameter string // its name in the Parameters
	profile   string
	code      string // of PdexMultiMemberMatchResultCS
	display   string
	name      string
}

var matchKinds = map[models.Operation]matchKind{
	// PDex 2.2.0, "Response shape".
	models.OpBulkMemberMatch: {
		outProfile: matchOutProfile,
		buckets: []bucket{
			{store.OutcomeMatched, "MatchedMembers", matchGroup, "match", "Matched", "Matched members"},
			{store.OutcomeNoMatch, "NonMatchedMembers", noMatchGroup, "nomatch", "Not Matched", "Members that were not matched"},
			{store.OutcomeConstrained, "ConsentConstrainedMembers", noMatchGroup, "consentconstraint", "Consent Constraint", "Members matched, but constrained by consent"},
		},
		life:  func(l GroupLife) time.Duration { return l.Payer },
		judge: heedPayers(judgeConsents),
	},
	// PDex 2.2.0 Provider Access, "Response".
	models.OpProviderMemberMatch: {
		outProfile: providerOutProfile,
		buckets: []bucket{
			{store.OutcomeMatched, "MatchedMembers", providerMatchGroup, "match", "Matched", "Matched members"},
			{store.OutcomeNoMatch, "NonMatchedMembers", providerNoMatchGroup, "nomatch", "Not Matched", "Members that were not matched"},
			{store.OutcomeConstrained, "ConsentConstrainedMembers", optOutGroup, "consentconstraint", "Consent Constraint", "Members who opted out"},
		},
		judge: judgeAttestations,
		alike: true,
		life:  func(l GroupLife) time.Duration { return l.Provider },
	},
}

// kindOf returns what a job's operation does with those it finds.
func kindOf(job *models.Job) (matchKind, error) {
	kind, ok := matchKinds[job.Operation]
	if !ok {
		return kind, models.Errorf(models.KindInternal, "the job is not a member match")
	}
	return kind, nil
}

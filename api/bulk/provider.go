package bulk

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/recheck"
)

// providerMatch is $provider-member-match (PDex 2.2.0, OperationDefinition ProviderMemberMatch). Its MemberBundles have no
// CoverageToLink; one that is there is let be, for the slicing is open.
var providerMatch = matchKind{
	op:      models.OpProviderMemberMatch,
	summary: "Find a provider's patients among the members (PDex 2.2.0)",
	slots: []slot{
		{"MemberPatient", "Patient", patientKey, true, ""},
		{"CoverageToMatch", "Coverage", "coverage", true, ""},
		{"Consent", "Consent", consentKey, true, "TreatmentAttestation"},
	},
	admit: admitProvider,
}

// The exportTypes of a provider's Group (PDex 2.2.0 Provider Access, 297).
const (
	providerDelta    = "hl7.fhir.us.davinci-pdex#provider-delta"
	providerDownload = "hl7.fhir.us.davinci-pdex#provider-download"
	providerSnapshot = "hl7.fhir.us.davinci-pdex#provider-snapshot"
)

// admitProvider checks that who asks is a provider the directory knows, active and under contract (PDex 2.2.0 Provider Access, 253
// and 254): the one the token is for, and the organisation.
func admitProvider(ctx context.Context, s *Service, c *auth.Caller) error {
	if c.Kind != models.ClientProvider {
		return models.Errorf(models.KindForbidden, "this operation is for providers")
	}
	npis := models.MatchParams{Organizations: c.Organizations, NPI: c.NPI}.NPIs()
	if len(npis) == 0 {
		return models.Errorf(models.KindForbidden, "neither the token nor the registration names a provider by NPI")
	}
	directory, err := s.Store.Directory(ctx, npis)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the provider directory cannot be read at the moment; try again").Wait(5).Because(err)
	}
	for _, npi := range npis {
		switch entry, known := directory[npi]; {
		case !known || !entry.Active:
			return models.Errorf(models.KindForbidden, "the provider who asks is not in the directory, or no longer active")
		case !entry.InNetwork:
			return models.Errorf(models.KindForbidden, "the provider who asks is not in network")
		}
	}
	return nil
}

// providerType reads the exportType of a provider's Group.
func providerType(value string) (string, *models.Error) {
	if slices.Contains([]string{providerDelta, providerDownload, providerSnapshot}, value) {
		return value, nil
	}
	if value == "hl7.fhir.us.davinci-pdex" {
		return "", models.Errorf(models.KindInvalid, "the part behind # is missing; in a URL, write the # as %%23")
	}
	return "", models.Errorf(models.KindInvalid, "for this Group the export type is %s, %s or %s", providerDelta, providerDownload, providerSnapshot)
}

// providerRules checks what an export of a provider's Group has to have beyond others: a delta is one from a moment the client
// names (PDex 2.2.0 Provider Access, 299).
func providerRules(p *models.ExportParams) error {
	if p.ExportType == providerDelta && p.Since == nil {
		return models.Errorf(models.KindInvalid, "%s needs _since", providerDelta).At("_since")
	}
	return nil
}

// optedOut reports whether one of the members of a provider's Group, of whom an export's file may hold data and who have opted out of
// something since, may not be handed to that provider any more.
func (s *Service) optedOut(ctx context.Context, groupID string, members []uuid.UUID, at time.Time) (bool, error) {
	if len(members) == 0 {
		return false, nil
	}
	claim, err := s.Store.Claim(ctx, groupID, members)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(members, func(m uuid.UUID) bool { return !recheck.Stands(&claim, m, at) }), nil
}

package auth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"pdexbulk/api/udap"
	"pdexbulk/models"
	"pdexbulk/models/trail"
)

// DefaultPurposes are the purposes of use that an exchange between payers, or of a payer with a provider, can have: treatment,
// care management, payment, operations, coverage.
var DefaultPurposes = []string{"TREAT", "ETREAT", "CAREMGT", "HPAYMT", "HOPERAT", "COVERAGE"}

// npiIdentifier is the identifier system of NPIs.
const npiIdentifier = "http://hl7.org/fhir/sid/us-npi|"

// Why a token is refused to a client that has proved who it is. For the log.
var (
	errNoB2B        = errors.New("hl7-b2b is missing or malformed")
	errOrganization = errors.New("hl7-b2b names an organization that the client is not registered for")
	errPurpose      = errors.New("hl7-b2b names a purpose that is not served")
	errNPI          = errors.New("the NPI of hl7-b2b is not one")
	errProvider     = errors.New("the provider of hl7-b2b is unknown, inactive or not in network")
	errSubject      = errors.New("the subject of hl7-b2b is neither an NPI nor a Group of the client's")
	errNoSubject    = errors.New("hl7-b2b names no provider")
	errContract     = errors.New("the client's organization is inactive or not in network")
)

// checkB2B reads and checks the hl7-b2b object of an assertion: UDAP clients must bring one, others may. Returns nil when there
// is none, and an error with errStoreTrouble when it could not be judged.
func (s *Server) checkB2B(ctx context.Context, client models.Client, a *assertion) (*udap.B2B, error) {
	if a.b2b == nil && a.signed == nil {
		if s.cfg.NPICheck == NPIRequired && client.Kind == models.ClientProvider {
			return nil, errNoSubject
		}
		return nil, nil
	}
	b2b, err := udap.ParseB2B(a.b2b)
	if err != nil {
		return nil, errNoB2B
	}
	if !actsFor(client, b2b.OrganizationID) {
		return nil, errOrganization
	}
	for _, purpose := range b2b.PurposeOfUse {
		if !slices.Contains(s.cfg.Purposes, udap.Purpose(purpose)) {
			return nil, errPurpose
		}
		note := trail.Of(ctx) // one of ours, so no text of the caller's
		note.Purpose = strings.TrimPrefix(note.Purpose+","+udap.Purpose(purpose), ",")
	}
	if b2b.SubjectID == "" {
		if s.cfg.NPICheck == NPIRequired && client.Kind == models.ClientProvider {
			return nil, errNoSubject
		}
		return b2b, nil
	}
	npi, groupID := udap.Subject(b2b.SubjectID)
	if groupID != "" {
		return b2b, s.checkGroup(ctx, client, groupID)
	}
	return b2b, s.checkNPI(ctx, npi)
}

// actsFor reports whether a URI is one of the organization that an administrator bound the client to: an identifier of it, as
// system#value or, of the system urn:ietf:rfc:3986, as the URI itself. A UDAP client may also name the URI of its certificate.
func actsFor(client models.Client, uri string) bool {
	if client.Origin == models.OriginUDAP && uri == client.Issuer {
		return true
	}
	for _, id := range client.OrganizationIDs {
		system, value, _ := strings.Cut(id, "|")
		if uri == system+"#"+value || system == "urn:ietf:rfc:3986" && uri == value {
			return true
		}
	}
	return false
}

// checkNPI looks a provider up in the directory (PDex 2.2.0, 254 and 322).
func (s *Server) checkNPI(ctx context.Context, npi string) error {
	if !models.ValidNPI(npi) {
		return errNPI
	}
	if s.cfg.NPICheck == NPIOff {
		return nil
	}
	p, err := s.store.Provider(ctx, npi)
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return errProvider
	case err != nil:
		return errors.Join(errStoreTrouble, err)
	case !p.Active || (s.cfg.NPICheck != NPIKnown && !p.InNetwork):
		return errProvider
	}
	return nil
}

// checkGroup checks that a Group is the client's own (PDex 2.2.0, 321).
func (s *Server) checkGroup(ctx context.Context, client models.Client, id string) error {
	if !models.ValidID(id) {
		return errSubject
	}
	g, err := s.store.OwnGroup(ctx, client.ID, id)
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return errSubject
	case err != nil:
		return errors.Join(errStoreTrouble, err)
	case g.ExpiresAt != nil && !s.now().Before(*g.ExpiresAt):
		return errSubject
	}
	return nil
}

// checkContract looks a provider client's own organization up in the directory, by the NPIs it is registered with (PDex 2.2.0,
// 253). The administrator who registered it vouches for one that the directory does not know; what the directory says of one
// that it knows goes before.
func (s *Server) checkContract(ctx context.Context, client models.Client) error {
	if client.Kind != models.ClientProvider || s.cfg.NPICheck == NPIOff {
		return nil
	}
	for _, id := range client.OrganizationIDs {
		npi, ok := strings.CutPrefix(id, npiIdentifier)
		if !ok || !models.ValidNPI(npi) {
			continue
		}
		p, err := s.store.Provider(ctx, npi)
		switch {
		case models.KindOf(err) == models.KindNotFound:
		case err != nil:
			return errors.Join(errStoreTrouble, err)
		case !p.Active || (s.cfg.NPICheck != NPIKnown && !p.InNetwork):
			return errContract
		}
	}
	return nil
}

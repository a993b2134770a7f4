package auth

import (
	"pdexbulk/api/udap"
	"pdexbulk/models"
)

// Caller is who sent a request and what the token lets them do. It may be shared between requests: read only.
type Caller struct {
	ClientID string
	Name     string
	Kind     models.ClientKind
	// Organization is the display name of the organisation the client acts for, Organizations its identifiers, each
	// "system|value".
	Organization  string
	Organizations []string
	ValueBased    bool
	Scopes        Scopes

	// What the client said of this request by hl7-b2b, as it was when the token was issued. NPI and GroupID are the subject_id:
	// the provider on whose behalf it is, whom the directory knew as active and in network unless PDEX_NPI_CHECK asks for less,
	// or the one Group the token is for. At most one of them is set.
	NPI            string
	GroupID        string
	OrganizationID string
	PurposeOfUse   []string // v3-PurposeOfUse codes
}

func newCaller(c models.Client, scopes Scopes, b2b *udap.B2B) *Caller {
	caller := &Caller{
		ClientID: c.ID, Name: c.Name, Kind: c.Kind,
		Organization: c.Organization, Organizations: c.OrganizationIDs, ValueBased: c.ValueBased,
		Scopes: scopes,
	}
	if b2b != nil {
		caller.OrganizationID = b2b.OrganizationID
		for _, purpose := range b2b.PurposeOfUse {
			caller.PurposeOfUse = append(caller.PurposeOfUse, udap.Purpose(purpose))
		}
		if b2b.SubjectID != "" {
			caller.NPI, caller.GroupID = udap.Subject(b2b.SubjectID)
		}
	}
	return caller
}

// Registered returns a client as a caller with all it may be granted.
func (s *Server) Registered(c models.Client) *Caller { return newCaller(c, s.registeredScopes(c), nil) }

// MayUseGroup reports whether the token is good for a Group: a token whose subject is one Group is good for no other.
func (c *Caller) MayUseGroup(id string) bool { return c.GroupID == "" || c.GroupID == id }

// MayRead reports whether the caller may have every resource of a type: read and search (.rs), which is what an export
// does. A resource type of "*" is MayReadAll.
func (c *Caller) MayRead(resourceType string) bool { return c.Scopes.mayOn(resourceType, canBoth) }

// MayReadAll reports whether the caller may have resources of all types.
func (c *Caller) MayReadAll() bool { return c.MayRead("*") }

// MayGet reports whether the caller may read a single resource of a type by its id (.r).
func (c *Caller) MayGet(resourceType string) bool { return c.Scopes.mayOn(resourceType, canRead) }

// MaySearch reports whether the caller may search a type (.s).
func (c *Caller) MaySearch(resourceType string) bool { return c.Scopes.mayOn(resourceType, canSearch) }

// MayCreate reports whether the caller may create resources of a type (.c). Only Consent can be created.
func (c *Caller) MayCreate(resourceType string) bool { return c.Scopes.mayOn(resourceType, canCreate) }

// MayReconcile reports whether the caller may change an attribution list of theirs by an operation, member-add or member-remove: by
// the scope of the operation, or by one to update Groups.
func (c *Caller) MayReconcile(op models.Operation) bool {
	return c.Scopes.hasOperation(op) || c.Scopes.mayOn("Group", canUpdate)
}

// MayOperate reports whether the caller may start a match operation, bulk-member-match or provider-member-match.
//
// An operation scope in any of its spellings does it. PDex only proposes those scopes ("Scopes for Operations"), so a
// token for all types that also names Group (asked for as "system/*.rs system/Group.*", say) does it too, but only for
// the operation made for the client's kind: payers bulk-member-match, providers provider-member-match. Exports have no
// scope of their own; they are governed by MayRead.
func (c *Caller) MayOperate(op models.Operation) bool {
	if c.GroupID != "" { // a token for a Group that is there makes no new one
		return false
	}
	if c.Scopes.hasOperation(op) {
		return true
	}
	if !c.MayReadAll() || !c.Scopes.names("Group") {
		return false
	}
	return (c.Kind == models.ClientPayer && op == models.OpBulkMemberMatch) ||
		(c.Kind == models.ClientProvider && op == opProviderMemberMatch)
}

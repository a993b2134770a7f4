package fhir

import "strconv"

// Reason says in one fixed code why a line cannot be taken. Codes are stored and shown to operators; they never change.
type Reason string

// The reasons.
const (
	ReasonNotJSON         Reason = "not-json"              // breaks RFC 8259, or a raw line break between tokens
	ReasonBadUTF8         Reason = "bad-utf8"              // a string that is not Unicode text, lone surrogates included
	ReasonTooDeep         Reason = "too-deep"              // nested deeper than MaxDepth
	ReasonTooLong         Reason = "too-long"              // over the line limit
	ReasonTooManyMembers  Reason = "too-many-members"      // more than MaxMembers elements at the top
	ReasonDuplicateKey    Reason = "duplicate-key"         // a member written twice, so that readers may differ on what it says
	ReasonEscapedKey      Reason = "escaped-key"           // a member name with an escape, which could hide an element
	ReasonNoType          Reason = "no-resource-type"      // not an object, or without a resourceType string
	ReasonUnknownType     Reason = "unknown-resource-type" // not an R4 type
	ReasonNoID            Reason = "no-id"
	ReasonBadID           Reason = "bad-id" // not [A-Za-z0-9\-.]{1,64}
	ReasonBadMeta         Reason = "bad-meta"
	ReasonBadLastUpdated  Reason = "bad-last-updated" // meta.lastUpdated is no instant
	ReasonBadSecurityMeta Reason = "bad-security"     // meta.security is not an array of Coding objects
	ReasonBadBinary       Reason = "bad-binary"       // a Binary without a media type, or with data that is no base64
)

// Reject is why a line was refused, and the byte of the line at which that showed. It holds no content.
type Reject struct {
	Reason Reason
	Offset int
}

func (r *Reject) Error() string {
	return string(r.Reason) + " at byte " + strconv.Itoa(r.Offset)
}

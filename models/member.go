package models

import (
	"crypto/sha256"

	"github.com/google/uuid"
)

// MemberID derives the row id of the member whose Patient has the given logical id. It is a UUIDv8 of a hash, so that
// every worker finds a member's place without asking, and a retried import lands where the first attempt did.
func MemberID(patientID string) uuid.UUID { return hashID("Patient/" + patientID) }

func hashID(name string) uuid.UUID {
	sum := sha256.Sum256([]byte(name))
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 variant
	return id
}

// SharedShards is how many pseudo-members hold the resources that belong to no patient.
const SharedShards = 16

// SharedID returns the pseudo-member that holds a resource which belongs to no patient (Organization, Practitioner, ...).
// Shards keep one such "member" from growing without bound. They sort after every real member.
func SharedID(resourceType, id string) uuid.UUID { return shard(0, resourceType, id) }

// UnattributedID returns the pseudo-member that holds a resource of a Patient-compartment type that names no patient.
// It is kept and counted, but no export can tell whose it is, so none hands it out.
func UnattributedID(resourceType, id string) uuid.UUID { return shard(1, resourceType, id) }

// BinaryID returns the id under which an import sorts a Binary. It is spread like members' ids; no member has it.
func BinaryID(id string) uuid.UUID { return hashID("Binary/" + id) }

func shard(kind byte, resourceType, id string) uuid.UUID {
	sum := sha256.Sum256([]byte(resourceType + "/" + id))
	out := sharedBase
	out[14] = kind
	out[15] = sum[0] % SharedShards
	return out
}

var sharedBase = uuid.UUID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x8f, 0xff, 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0}

// The bounds of the id space: real members lie in [FirstMember, FirstShared), shared resources in
// [FirstShared, FirstUnattributed).
var (
	FirstMember       = uuid.UUID{}
	FirstShared       = sharedBase
	FirstUnattributed = func() uuid.UUID { id := sharedBase; id[14] = 1; return id }()
	LastShared        = func() uuid.UUID { id := sharedBase; id[15] = SharedShards - 1; return id }()
	LastID            = uuid.Max
)

// IsMember reports whether id is a real member's and not a pseudo-member's.
func IsMember(id uuid.UUID) bool { return [14]byte(id[:14]) != [14]byte(sharedBase[:14]) }

// Class is the release class of a segment: a set of bits. Lines of different classes never share a segment, so that a
// rule which withholds a class withholds whole segments.
//
// A resource whose form depends on who gets it is held once as it came and once for each view of it. Full and Linked mark
// what came, Basis and Masked what stands for it; of the forms of a resource exactly one goes to a given audience.
type Class int16

// The class bits.
const (
	ClassSensitive Class = 1 << iota // carries a sensitivity label, has a sensitive code, or makes no sense without what has
	// ClassPriorAuth marks a prior authorisation, and what belongs to prior authorisations alone. The last day of service of its
	// lines is the last day on which they may leave.
	ClassPriorAuth
	ClassFull   // holds money; another line is its non-financial view
	ClassBasis  // the non-financial view of another line
	ClassLinked // refers to something sensitive; another line does without the reference
	ClassMasked // another line without its references to what is sensitive
	ClassDrug   // a prior authorisation for a drug, or what belongs to such alone
	// ClassSupport marks what comes with a prior authorisation even when it is too old to come by itself. The first day of service
	// of its lines is the last day on which that holds.
	ClassSupport
	// ClassUnruled marks what was imported before there were release classes. It leaves only after it was imported again.
	ClassUnruled

	// ClassAttachment: an Attachment names a Binary. Exports write another url into such lines, and into no others.
	ClassAttachment Class = 1 << 14
)

// ClassViews are the bits of lines that stand for another line.
const ClassViews = ClassBasis | ClassMasked

// CardKind says what an identifier on a member's card means.
type CardKind int16

// The card kinds. Numbers are stored; never renumber.
const (
	CardMemberID   CardKind = 1 // one person's: member id with its dependant suffix
	CardSubscriber CardKind = 2 // a family's
	CardMBI        CardKind = 3
	CardSSN        CardKind = 4
	CardOther      CardKind = 5
)

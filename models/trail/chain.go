package trail

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"strings"

	"github.com/google/uuid"

	"pdexbulk/models"
)

// Record is an event in its place in the chain.
type Record struct {
	Event
	// Seq counts from 1 without gaps.
	Seq int64
	// KeyID says which key the hash was made with; "" means none.
	KeyID string
	// Hash is of the record before and of all of this one but itself: HMAC-SHA-256, without a key SHA-256.
	Hash []byte
}

// Head is where a chain ends.
type Head struct {
	Seq  int64  `json:"seq"` // 0 for a chain without records
	Hash []byte `json:"hash"`
}

// Keys are what chains are sealed and verified with.
type Keys struct {
	first string
	keys  map[string][]byte
}

const keyLength = 32

// ParseKeys reads keys of the form id:base64,id:base64, each of 32 bytes. The first seals, all verify. Of no text there are no
// keys: records are chained all the same, but whoever can write to the log can chain it anew. Returns KindInvalid, without the
// text.
func ParseKeys(text string) (Keys, error) {
	k := Keys{keys: map[string][]byte{}}
	if text == "" {
		return k, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		id, encoded, _ := strings.Cut(strings.TrimSpace(item), ":")
		secret, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case id == "" || len(id) > 64 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }):
			return Keys{}, models.Errorf(models.KindInvalid, "a key has no id of printable characters before its colon")
		case err != nil || len(secret) != keyLength:
			return Keys{}, models.Errorf(models.KindInvalid, "a key is not %d bytes in base64", keyLength)
		case k.keys[id] != nil:
			return Keys{}, models.Errorf(models.KindInvalid, "a key id occurs twice")
		}
		k.keys[id] = secret
		if k.first == "" {
			k.first = id
		}
	}
	return k, nil
}

// Keyed reports whether there is a key.
func (k Keys) Keyed() bool { return k.first != "" }

// Seal puts an event behind the head of a chain.
func (k Keys) Seal(head Head, e Event) Record {
	r := Record{Event: e, Seq: head.Seq + 1, KeyID: k.first}
	r.Hash = k.sum(head.Hash, &r)
	return r
}

// Follows reports whether a record is what was once put behind the head. known is false when its key is not at hand, so that
// nothing can be said. Where there are keys a record without one does not fit: anybody could have made it.
func (k Keys) Follows(head Head, r *Record) (fits, known bool) {
	switch {
	case r.KeyID == "" && k.Keyed():
		return false, true
	case r.KeyID != "" && k.keys[r.KeyID] == nil:
		return false, false
	}
	return r.Seq == head.Seq+1 && hmac.Equal(k.sum(head.Hash, r), r.Hash), true
}

func (k Keys) sum(before []byte, r *Record) []byte {
	h := sha256.New()
	if r.KeyID != "" {
		h = hmac.New(sha256.New, k.keys[r.KeyID])
	}
	write(h, before)
	write(h, binary.BigEndian.AppendUint64(nil, uint64(r.Seq)))
	e := &r.Event
	write(h, binary.BigEndian.AppendUint64(nil, uint64(e.At.UnixMicro())))
	write(h, binary.BigEndian.AppendUint64(nil, uint64(e.Status)))
	for _, text := range []string{
		r.KeyID, e.ID, string(e.Kind), e.Actor, e.Client, e.Action, string(e.Outcome), e.Job, e.Group, e.Target,
		e.Counts.Text(), e.Purpose, e.Reason, e.Source, e.Route,
	} {
		write(h, []byte(text))
	}
	members := make([]byte, 0, len(e.Members)*len(uuid.UUID{}))
	for _, m := range e.Members {
		members = append(members, m[:]...)
	}
	write(h, members)
	return h.Sum(nil)
}

// write hashes a field with its length before it, so that no two records look alike.
func write(h hash.Hash, field []byte) {
	_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(field)))) // a hash takes all
	_, _ = h.Write(field)
}

// Text is the one form of the counts as JSON, in order of name; "" for none.
func (c Counts) Text() string {
	if len(c) == 0 {
		return ""
	}
	text, err := json.Marshal(map[string]int64(c)) // sorts by name
	if err != nil {
		panic(fmt.Sprintf("numbers by name are JSON: %v", err))
	}
	return string(text)
}

package boot

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

// Metadata of a sealed payload. The two names are those Temporal's own encryption samples use, so that its tools show them.
const (
	metadataKeyID   = "encryption-key-id"
	encodingSealed  = "binary/encrypted"
	keySize         = 32 // bytes: AES-256
	maxKeyID        = 64
	codecAdditional = "pdex-payload\x00" // keeps our seals apart from any other use of the same key
)

// Errors of Decode. They name no value: what cannot be opened may come from anybody who can reach the codec server.
var (
	// ErrUnknownKey means that a payload was sealed with a key that PDEX_PAYLOAD_KEYS does not hold (any more).
	ErrUnknownKey = errors.New("payload codec: sealed with a key that is not configured")
	// ErrTampered means that a payload is not what was sealed, or was sealed with another key of the same id.
	ErrTampered = errors.New("payload codec: the payload does not open: altered, or sealed with another key of the same id")
)

// Codec seals workflow payloads with AES-256-GCM, so that Temporal's storage, its UI and its operators see nothing of
// them. Keys have ids; the first seals, and every one opens what it sealed, so keys are rotated by putting a new one in
// front and dropping the old when no workflow of its time is kept any more. It is the second line: payloads hold row ids
// and file keys only.
//
// The whole payload is sealed, metadata included, with a random nonce in front of the ciphertext; encoding and key id are
// authenticated with it. A key is good for about 2^32 payloads (NIST SP 800-38D section 8.3).
type Codec struct {
	first string
	keys  map[string]cipher.AEAD
}

var _ converter.PayloadCodec = (*Codec)(nil)

// ParseCodec makes a codec of keys written as id:base64,id:base64. Ids are 1 to 64 of A-Z a-z 0-9 . _ -; keys are 32
// bytes in standard base64. The error shows neither.
func ParseCodec(s string) (*Codec, error) {
	c := &Codec{keys: map[string]cipher.AEAD{}}
	for entry := range strings.SplitSeq(s, ",") {
		id, encoded, ok := strings.Cut(strings.TrimSpace(entry), ":")
		if !ok || !validKeyID(id) {
			return nil, errors.New("a key is not of the form id:base64")
		}
		if c.keys[id] != nil {
			return nil, errors.New("a key id occurs twice")
		}
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("a key is not %d bytes in base64", keySize)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, errors.New("a key is not usable")
		}
		if c.keys[id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, errors.New("a key is not usable")
		}
		if c.first == "" {
			c.first = id
		}
	}
	return c, nil
}

func validKeyID(id string) bool {
	if id == "" || len(id) > maxKeyID {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	})
}

// Encode seals every payload with the first key. One that is sealed already is sealed again.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	sealed := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("payload codec: %w", err)
		}
		sealed[i] = &commonpb.Payload{
			Metadata: map[string][]byte{
				converter.MetadataEncoding: []byte(encodingSealed),
				metadataKeyID:              []byte(c.first),
			},
			Data: c.keys[c.first].Seal(nil, nil, plain, additional(c.first)), //nolint:gosec // the AEAD makes its own random nonce and takes none
		}
	}
	return sealed, nil
}

// Decode opens every payload. One that is not sealed passes as it is: workflows started before keys were configured, and
// the UI's own, are readable. Returns ErrUnknownKey and ErrTampered.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	opened := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encodingSealed {
			opened[i] = p
			continue
		}
		id := string(p.Metadata[metadataKeyID])
		aead := c.keys[id]
		if aead == nil {
			return nil, ErrUnknownKey
		}
		plain, err := aead.Open(nil, nil, p.Data, additional(id))
		if err != nil {
			return nil, ErrTampered
		}
		opened[i] = new(commonpb.Payload)
		if err := proto.Unmarshal(plain, opened[i]); err != nil {
			return nil, ErrTampered
		}
	}
	return opened, nil
}

// additional is the data a seal authenticates beside the payload.
func additional(id string) []byte { return []byte(codecAdditional + encodingSealed + "\x00" + id) }

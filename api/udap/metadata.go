package udap

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pdexbulk/models"
)

const (
	// metadataLife is how long signed metadata are good for: a year at most (HL7 UDAP Security 1.1.0, "Signed metadata
	// elements"). A client that fetches them at every start needs far less.
	metadataLife  = 7 * 24 * time.Hour
	metadataFresh = time.Hour // they are signed anew when older
)

var errNoIdentity = errors.New("the server has no certificate at present")

// Endpoints are what signed metadata repeat.
type Endpoints struct {
	Token    string `json:"token_endpoint"`
	Register string `json:"registration_endpoint"`
}

type signedMetadata struct {
	text   string
	signed time.Time
	leaf   string
}

// Metadata returns the server's signed metadata: a JWT that says whose endpoints these are, signed with RS256 by the server's
// certificate.
func (t *Trust) Metadata(e Endpoints, now time.Time) (string, error) {
	own := t.at(now).own
	if own == nil || !now.Before(own.leaf.NotAfter) {
		return "", errNoIdentity
	}
	t.signMu.Lock()
	defer t.signMu.Unlock()
	id := e.Token + " " + e.Register
	if last := t.signed[id]; last.leaf == own.x5c[0] && now.Sub(last.signed) >= 0 && now.Sub(last.signed) < metadataFresh {
		return last.text, nil
	}
	expires := now.Add(metadataLife)
	if expires.After(own.leaf.NotAfter) {
		expires = own.leaf.NotAfter
	}
	text, err := own.sign(struct {
		jwt.Claims
		Endpoints
	}{jwt.Claims{
		Issuer: t.base, Subject: t.base, ID: models.NewID(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(expires),
	}, e})
	if err != nil {
		return "", err
	}
	t.signed[id] = signedMetadata{text, now, own.x5c[0]}
	return text, nil
}

func (i *identity) sign(claims any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: i.key}, (&jose.SignerOptions{}).WithHeader("x5c", i.x5c))
	if err != nil {
		return "", fmt.Errorf("sign metadata: %w", err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign metadata: %w", err)
	}
	return text, nil
}

func encodeChain(chain [][]byte) []string {
	out := make([]string, len(chain))
	for i, der := range chain {
		out[i] = base64.StdEncoding.EncodeToString(der)
	}
	return out
}

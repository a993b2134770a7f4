package udap

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Algs are the algorithms of what UDAP clients sign: RS256, which everybody must know, ES256, and the two that may be used (HL7
// UDAP Security 1.1.0, "Signature algorithm identifiers").
var Algs = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.RS384, jose.ES384}

// maxSigned bounds a signed document: it carries a chain of certificates.
const maxSigned = 64 << 10

var (
	errSigned    = errors.New("not a compact JWS of an allowed algorithm with x5c")
	errHeader    = errors.New("the JWS header is not acceptable")
	errSignature = errors.New("the signature is not by the first certificate of x5c")
)

// Signed is a JWT whose signature is by the first certificate of its x5c. That this certificate is to be trusted is another
// matter, for Trust.
type Signed struct {
	Chain *Chain
	Alg   jose.SignatureAlgorithm
	token *jwt.JSONWebToken
}

// ParseSigned reads a JWT with x5c and checks that its signature is by that certificate.
func ParseSigned(text string) (*Signed, error) {
	if len(text) > maxSigned || strings.ContainsAny(text, "\r\n") {
		return nil, errSigned
	}
	token, err := jwt.ParseSigned(text, Algs)
	if err != nil || len(token.Headers) != 1 {
		return nil, errSigned
	}
	header, err := readHeader(text)
	if err != nil {
		return nil, err
	}
	chain, err := ParseX5C(header["x5c"])
	if err != nil {
		return nil, err
	}
	if err := chain.usableLeaf(); err != nil {
		return nil, err
	}
	var claims jwt.Claims
	if token.Claims(chain.Leaf.PublicKey, &claims) != nil {
		return nil, errSignature
	}
	return &Signed{Chain: chain, Alg: jose.SignatureAlgorithm(token.Headers[0].Algorithm), token: token}, nil
}

// readHeader reads the header of a JWS that the parser has taken, so each member is there once. Keys that it may bring along in
// other ways, and extensions, which would have to be understood, are refused.
func readHeader(text string) (map[string]json.RawMessage, error) {
	parts := strings.Split(text, ".")
	if len(parts) != headerParts {
		return nil, errSigned
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return nil, errSigned
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(raw, &header); err != nil {
		return nil, errSigned
	}
	for _, name := range []string{"crit", "b64", "jwk", "jku", "x5u"} {
		if _, there := header[name]; there {
			return nil, errHeader
		}
	}
	if typ, there := header["typ"]; there && !strings.EqualFold(string(typ), `"JWT"`) {
		return nil, errHeader
	}
	return header, nil
}

// Claims reads the claims into out. They are the signer's words.
func (s *Signed) Claims(out any) error {
	if err := s.token.UnsafeClaimsWithoutVerification(out); err != nil { // ParseSigned has verified
		return errors.New("the claims cannot be read")
	}
	return nil
}

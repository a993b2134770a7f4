package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"pdexbulk/models"
)

const (
	maxKeys    = 100
	minRSABits = 2048 // RFC 7518 section 3.3
)

// privateMembers are the JWK members that hold secrets (RFC 7518 section 6). A key that shows one is not used.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// ParseJWKS reads the usable keys of a key set (RFC 7517 section 5): RSA of at least 2048 bits and EC on P-384, public,
// and not set aside for another use or algorithm. Other keys are left out, as section 5 advises. Returns KindInvalid
// when raw is not a key set.
func ParseJWKS(raw []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil || set.Keys == nil || len(set.Keys) > maxKeys {
		return nil, models.Errorf(models.KindInvalid, "must be a JSON Web Key Set of at most %d keys", maxKeys).At("jwks")
	}
	var keys []jose.JSONWebKey
	for _, one := range set.Keys {
		if key, ok := parseKey(one); ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// CheckJWKS says whether an inline key set can be registered: it must hold at least one usable key and no private one.
// Returns KindInvalid.
func CheckJWKS(raw []byte) error {
	keys, err := ParseJWKS(raw)
	if err != nil {
		return err
	}
	var set struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return models.Errorf(models.KindInvalid, "every key must be an object").At("jwks")
	}
	if slices.ContainsFunc(set.Keys, showsSecret) {
		return models.Errorf(models.KindInvalid, "holds a private key; register the public half only").At("jwks")
	}
	if len(keys) == 0 {
		return models.Errorf(models.KindInvalid, "holds no RSA key of %d bits or more and no EC key on P-384", minRSABits).At("jwks")
	}
	return nil
}

func showsSecret(members map[string]json.RawMessage) bool {
	for _, name := range privateMembers {
		if _, ok := members[name]; ok {
			return true
		}
	}
	return false
}

func parseKey(raw json.RawMessage) (jose.JSONWebKey, bool) {
	// Looked at first: the parser would do costly arithmetic on a private key, and a published one is compromised.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || showsSecret(members) {
		return jose.JSONWebKey{}, false
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(raw); err != nil {
		return jose.JSONWebKey{}, false
	}
	return key, key.IsPublic() && (fits(&key, jose.RS384) || fits(&key, jose.ES384))
}

// fits reports whether a key can verify signatures of alg.
func fits(key *jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
	if (key.Use != "" && key.Use != "sig") || (key.Algorithm != "" && key.Algorithm != string(alg)) {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return alg == jose.RS384 && public.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return alg == jose.ES384 && public.Curve == elliptic.P384()
	default:
		return false
	}
}

// pick returns the one key that fits, nil when there is none or more than one: SMART client-confidential-asymmetric,
// "Signature Verification". With a kid only keys of that kid count. Without one (clients that hold a PEM file know none)
// the client's one key of that algorithm is meant.
func pick(keys []jose.JSONWebKey, alg jose.SignatureAlgorithm, kid string) *jose.JSONWebKey {
	var found *jose.JSONWebKey
	for i := range keys {
		if (kid != "" && keys[i].KeyID != kid) || !fits(&keys[i], alg) {
			continue
		}
		if found != nil {
			return nil
		}
		found = &keys[i]
	}
	return found
}

// decoy is a key set that nobody can sign for. An assertion without a key of its own is checked against it, so that an
// unknown client costs what a bad signature costs.
type decoy struct {
	jwks json.RawMessage
	keys []jose.JSONWebKey
}

// newDecoy makes the set. It ignores the errors of the random source, which ends the program rather than fail.
func newDecoy() *decoy {
	// Nobody knows factors of this modulus, which is all a decoy needs; making a true key pair would take far longer.
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), minRSABits))
	n.SetBit(n, minRSABits-1, 1).SetBit(n, 0, 1)
	ec, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	d := &decoy{keys: []jose.JSONWebKey{{Key: &rsa.PublicKey{N: n, E: 65537}}, {Key: &ec.PublicKey}}}
	d.jwks, _ = json.Marshal(jose.JSONWebKeySet{Keys: d.keys}) // well-formed keys always marshal
	return d
}

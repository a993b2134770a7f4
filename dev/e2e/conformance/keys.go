package conformance

import (
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"pdexbulk/dev/client"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

// keySets are the key sets that checks publish, by their URL.
var keySets sync.Map

// publish serves keys under a URL, which it returns with a count of how often they were fetched.
func (t *T) publish(cacheControl string, keys ...*client.Key) (url string, fetched func() int64) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.ctx, "tcp", "127.0.0.1:0")
	t.must(err)
	url = "http://" + l.Addr().String() + "/jwks"
	t.republish(url, keys...)
	var n atomic.Int64
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.Header().Set("Cache-Control", cacheControl)
		w.Header().Set("Content-Type", "application/json")
		set, _ := keySets.Load(url)
		text, _ := set.(json.RawMessage)
		_, _ = w.Write(text)
	})}
	go func() { _ = srv.Serve(l) }() // until it is closed
	t.later = append(t.later, func() { _ = srv.Close() })
	return url, n.Load
}

// republish replaces the keys under a URL.
func (t *T) republish(url string, keys ...*client.Key) {
	set, err := client.JWKS(keys...)
	t.must(err)
	keySets.Store(url, set)
}

// published registers a client whose keys are at a URL.
func (t *T) published(url string) string {
	id := "check-published-" + uuid.NewString()
	t.must(t.ours().Admin(t.ctx, http.MethodPut, "/admin/clients/"+id, map[string]any{
		"name": id, "kind": models.ClientBackend, "scopes": []string{allData}, "jwksUrl": url,
	}, nil))
	return id
}

// sealed is an access token that the server might have issued to a client, made with the server's key: nobody can wait for one
// to expire.
func (t *T) sealed(sys *system.System, clientID string, life time.Duration) string {
	s, err := store.Open(t.ctx, sys.Stack.DatabaseURL)
	t.must(err)
	defer s.Close()
	now := time.Now()
	keys, err := s.SigningKeys(t.ctx, now)
	t.must(err)
	t.check(len(keys) > 0, "the server has no key")
	key := keys[len(keys)-1]
	private, err := x509.ParsePKCS8PrivateKey(key.Private)
	t.must(err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Alg), Key: jose.JSONWebKey{Key: private, KeyID: key.KID}},
		(&jose.SignerOptions{}).WithType("at+jwt"))
	t.must(err)
	text, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": sys.Root, "sub": clientID, "client_id": clientID, "aud": sys.Base, "scope": allData, "jti": uuid.NewString(),
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(life).Unix(),
	}).Serialize()
	t.must(err)
	return text
}

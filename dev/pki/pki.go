// Package pki makes certificate authorities, certificates and revocation lists for trying UDAP out, and signs what UDAP clients
// sign. Everything it makes is for development and tests.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// The validity of what is made, unless it is changed.
var (
	notBefore = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Authority is a certificate authority.
type Authority struct {
	Cert *x509.Certificate
	Key  crypto.Signer
	// above are the certificates between it and the root, itself first; none for a root.
	above []*x509.Certificate
}

// Identity is a certificate with its key.
type Identity struct {
	// Chain begins with the identity's own certificate and goes on to the one below the root.
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// Request says what a certificate is to be.
type Request struct {
	Name string
	// URIs are its subject alternative names.
	URIs []string
	// Key is its key; nil makes one for ES256.
	Key crypto.Signer
	// Edit changes the template before it is signed.
	Edit func(*x509.Certificate)
}

// NewKey makes a key for RS256 (RSA of 2048 bits) or ES256 (P-256).
func NewKey(alg string) (crypto.Signer, error) {
	if alg == "RS256" {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)) // never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}},
		NotBefore: notBefore, NotAfter: notAfter, BasicConstraintsValid: true,
	}
}

// NewRoot makes a self-signed authority.
func NewRoot(name string) (*Authority, error) {
	return (&Authority{}).Sub(name, nil)
}

// Sub makes an authority below another, or a root when a is zero.
func (a *Authority) Sub(name string, edit func(*x509.Certificate)) (*Authority, error) {
	key, err := NewKey("ES256")
	if err != nil {
		return nil, err
	}
	t := template(name)
	t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	if edit != nil {
		edit(t)
	}
	parent, signer := a.Cert, a.Key
	if parent == nil {
		parent, signer = t, key
	}
	cert, err := create(t, parent, key, signer)
	if err != nil {
		return nil, err
	}
	sub := &Authority{Cert: cert, Key: key}
	if a.Cert != nil {
		sub.above = append([]*x509.Certificate{cert}, a.above...)
	}
	return sub, nil
}

func create(t, parent *x509.Certificate, key, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Issue makes a certificate to sign with.
func (a *Authority) Issue(r Request) (*Identity, error) {
	if r.Key == nil {
		key, err := NewKey("ES256")
		if err != nil {
			return nil, err
		}
		r.Key = key
	}
	t := template(r.Name)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	for _, text := range r.URIs {
		u, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		t.URIs = append(t.URIs, u)
	}
	if r.Edit != nil {
		r.Edit(t)
	}
	cert, err := create(t, a.Cert, r.Key, a.Key)
	if err != nil {
		return nil, err
	}
	return &Identity{Chain: append([]*x509.Certificate{cert}, a.above...), Key: r.Key}, nil
}

// RevocationList makes a list, in PEM, of revoked certificates that is to be replaced by next.
func (a *Authority) RevocationList(next time.Time, revoked ...*x509.Certificate) ([]byte, error) {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: notBefore, NextUpdate: next}
	for _, cert := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: cert.SerialNumber, RevocationTime: notBefore,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Cert, a.Key)
	if err != nil {
		return nil, fmt.Errorf("make revocation list: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

// PEM is certificates one after the other.
func PEM(certs ...*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, cert := range certs {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // to memory
	}
	return out.Bytes()
}

// KeyPEM is a private key. Keep it secret.
func KeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// X5C is the chain as the x5c of a JWS.
func (i *Identity) X5C() []string {
	out := make([]string, len(i.Chain))
	for n, cert := range i.Chain {
		out[n] = base64.StdEncoding.EncodeToString(cert.Raw)
	}
	return out
}

// Alg is RS256 or ES256, as the key is.
func (i *Identity) Alg() string {
	if _, ok := i.Key.(*rsa.PrivateKey); ok {
		return "RS256"
	}
	return "ES256"
}

// Signature signs a JWS input by Alg, or by its sibling with SHA-384.
func (i *Identity) Signature(alg string, message []byte) ([]byte, error) {
	hash, digest := crypto.SHA256, sum256(message)
	if alg == "RS384" || alg == "ES384" {
		hash, digest = crypto.SHA384, sum384(message)
	}
	switch key := i.Key.(type) {
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(nil, key, hash, digest)
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			return nil, err
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
	default:
		return nil, errors.New("a key of no kind that is known")
	}
}

func sum256(message []byte) []byte { s := sha256.Sum256(message); return s[:] }

func sum384(message []byte) []byte { s := sha512.Sum384(message); return s[:] }

// Sign makes a JWT of claims, with x5c.
func (i *Identity) Sign(claims any) (string, error) {
	header, err := json.Marshal(map[string]any{"alg": i.Alg(), "x5c": i.X5C()})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	message := encode(header) + "." + encode(payload)
	signature, err := i.Signature(i.Alg(), []byte(message))
	if err != nil {
		return "", err
	}
	return message + "." + encode(signature), nil
}

// Server is a trust community's files for one server: what PDEX_UDAP_* name.
type Server struct {
	Root *Authority
	// Dir holds anchors.pem, server.pem and server-key.pem, and the community's own key.
	Dir string
}

// NewServer makes a certificate for a server with a FHIR base URL, in a folder. The community is the one of the folder, or a new
// one that is kept there.
func NewServer(dir, base string) (*Server, error) {
	root, err := keptRoot(dir)
	if err != nil {
		return nil, err
	}
	key, err := NewKey("RS256")
	if err != nil {
		return nil, err
	}
	own, err := root.Issue(Request{Name: "PDex Bulk Exchange", URIs: []string{base}, Key: key})
	if err != nil {
		return nil, err
	}
	private, err := KeyPEM(key)
	if err != nil {
		return nil, err
	}
	if err := write(dir, map[string][]byte{"server.pem": PEM(own.Chain...), "server-key.pem": private}); err != nil {
		return nil, err
	}
	return &Server{root, dir}, nil
}

// ServeTLS makes a certificate for an HTTPS server at an address, and returns the paths of it and its key.
func (s *Server) ServeTLS(at net.IP) (cert, key string, err error) {
	own, err := s.Root.Issue(Request{Name: "PDex Bulk Exchange", Edit: func(t *x509.Certificate) {
		t.IPAddresses, t.ExtKeyUsage = []net.IP{at}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}})
	if err != nil {
		return "", "", err
	}
	private, err := KeyPEM(own.Key)
	if err != nil {
		return "", "", err
	}
	err = write(s.Dir, map[string][]byte{"tls.pem": PEM(own.Chain...), "tls-key.pem": private})
	return filepath.Join(s.Dir, "tls.pem"), filepath.Join(s.Dir, "tls-key.pem"), err
}

// keptRoot returns the authority that is kept in a folder, after making it when there is none.
func keptRoot(dir string) (*Authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "anchors.pem"), filepath.Join(dir, "anchors-key.pem"))
	if err == nil {
		return &Authority{Cert: pair.Leaf, Key: pair.PrivateKey.(crypto.Signer)}, nil
	}
	root, err := NewRoot("Development community")
	if err != nil {
		return nil, err
	}
	private, err := KeyPEM(root.Key)
	if err != nil {
		return nil, err
	}
	return root, write(dir, map[string][]byte{"anchors.pem": PEM(root.Cert), "anchors-key.pem": private})
}

func write(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Community is the name of the community that NewServer makes.
const Community = "urn:example:development"

// Env is the environment of an api that takes part in it.
func (s *Server) Env() []string {
	return []string{
		"PDEX_UDAP_CERT_FILE=" + filepath.Join(s.Dir, "server.pem"),
		"PDEX_UDAP_KEY_FILE=" + filepath.Join(s.Dir, "server-key.pem"),
		"PDEX_UDAP_COMMUNITIES=" + Community + "=" + filepath.Join(s.Dir, "anchors.pem"),
	}
}

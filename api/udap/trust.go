package udap

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// recheck is how often files are looked at for changes.
const recheck = 5 * time.Second

// Files say where the operator keeps what the trust rests on. All are PEM.
type Files struct {
	// Cert and Key are the server's own: its certificate and the rest of the chain, and its RSA key.
	Cert, Key string
	// Communities are trust communities, each "uri=path" with the path of its trust anchors, the one meant by default first. A
	// path alone is a community without a name.
	Communities []string
	// CRLs are certificate revocation lists, of any issuer.
	CRLs []string
}

// Trust is what the files say. It is safe for concurrent use and reads them again when they change. A file that has become
// unreadable takes its trust with it: without its anchors a community vouches for nobody, and without a revocation list that
// was asked for nobody at all is vouched for.
type Trust struct {
	files Files
	base  string
	log   *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	stamps  map[string]string // what each file looked like
	current state

	signMu sync.Mutex
	signed map[string]signedMetadata
}

type state struct {
	own         *identity
	communities []*community
}

type community struct {
	name        string
	anchors     *x509.CertPool
	revocations revocations
}

// identity is who the server is in the eyes of UDAP clients.
type identity struct {
	x5c  []string // base64 of DER
	leaf *x509.Certificate
	key  *rsa.PrivateKey
}

// Open reads the files for a server with the given FHIR base URL, which its certificate must name. It errs when any of them is
// not as it must be: at start that is better told than served around.
func Open(files Files, base string, now time.Time, log *slog.Logger) (*Trust, error) {
	t := &Trust{files: files, base: base, log: log, signed: map[string]signedMetadata{}}
	var faults []error
	t.current, faults = t.read(now)
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	t.stamps, t.looked = t.look(), now
	return t, nil
}

func splitCommunity(entry string) (name, path string) {
	if name, path, ok := strings.Cut(entry, "="); ok {
		return name, path
	}
	return "", entry
}

// read reads everything anew. What cannot be read is left out and told of.
func (t *Trust) read(now time.Time) (state, []error) {
	var s state
	var faults []error
	own, err := readIdentity(t.files.Cert, t.files.Key, t.base, now)
	if err != nil {
		faults = append(faults, fmt.Errorf("PDEX_UDAP_CERT_FILE, PDEX_UDAP_KEY_FILE: %w", err))
	}
	s.own = own
	lists, err := readLists(t.files.CRLs)
	if err != nil {
		faults = append(faults, fmt.Errorf("PDEX_UDAP_CRL_FILES: %w", err))
	}
	blind := err != nil
	if len(t.files.Communities) == 0 {
		faults = append(faults, errors.New("PDEX_UDAP_COMMUNITIES: no trust community is named"))
	}
	for _, entry := range t.files.Communities {
		name, path := splitCommunity(entry)
		c := &community{name: name, revocations: lists}
		if slices.ContainsFunc(s.communities, func(o *community) bool { return o.name == name }) {
			faults = append(faults, errors.New("PDEX_UDAP_COMMUNITIES: a community is named twice"))
			continue
		}
		anchors, err := readAnchors(path)
		if err != nil {
			faults = append(faults, fmt.Errorf("PDEX_UDAP_COMMUNITIES: %w", err))
		} else if !blind {
			c.anchors = anchors
		}
		s.communities = append(s.communities, c)
	}
	return s, faults
}

// look says how the files look, without reading them.
func (t *Trust) look() map[string]string {
	stamps := map[string]string{}
	paths := slices.Concat([]string{t.files.Cert, t.files.Key}, t.files.CRLs)
	for _, entry := range t.files.Communities {
		_, path := splitCommunity(entry)
		paths = append(paths, path)
	}
	for _, path := range paths {
		stamps[path] = "absent"
		if info, err := os.Stat(path); err == nil {
			stamps[path] = fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size())
		}
	}
	return stamps
}

// at returns what the files say now.
func (t *Trust) at(now time.Time) state {
	t.mu.Lock()
	defer t.mu.Unlock()
	if since := now.Sub(t.looked); since >= 0 && since < recheck {
		return t.current
	}
	t.looked = now
	stamps := t.look()
	same := len(stamps) == len(t.stamps)
	for path, stamp := range stamps {
		same = same && t.stamps[path] == stamp
	}
	if same {
		return t.current
	}
	fresh, faults := t.read(now)
	if fresh.own == nil {
		fresh.own = t.current.own // an old certificate of ours endangers nobody
	}
	for _, err := range faults {
		t.log.Error("a UDAP file cannot be used", "error", err)
	}
	t.stamps, t.current = stamps, fresh
	return t.current
}

// Community returns the community that a chain is valid in, the first of several. The error says why there is none.
func (t *Trust) Community(c *Chain, now time.Time) (name string, err error) {
	for _, community := range t.at(now).communities {
		fault := c.verify(community, now)
		if fault == nil {
			return community.name, nil
		}
		// The fault that tells most: that of a community the chain leads to.
		if err == nil || errors.Is(fault, errRevoked) {
			err = fault
		}
	}
	return "", err
}

// Verify checks a chain against the anchors of one community.
func (t *Trust) Verify(c *Chain, name string, now time.Time) error {
	for _, community := range t.at(now).communities {
		if community.name == name {
			return c.verify(community, now)
		}
	}
	return errNoAnchor
}

// Knows reports whether there is a community of a name. The empty name means the default.
func (t *Trust) Knows(name string, now time.Time) bool {
	return name == "" || slices.ContainsFunc(t.at(now).communities, func(c *community) bool { return c.name == name })
}

func readPEM(path, kind string) ([][]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var blocks [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != kind {
			return nil, fmt.Errorf("%s: holds something other than a %s", path, kind)
		}
		blocks = append(blocks, block.Bytes)
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("%s: holds no %s", path, kind)
	}
	return blocks, nil
}

func readAnchors(path string) (*x509.CertPool, error) {
	blocks, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, der := range blocks {
		cert, err := x509.ParseCertificate(der)
		if err != nil || !cert.IsCA || !strongKey(cert.PublicKey) {
			return nil, fmt.Errorf("%s: a certificate is malformed, no CA's, or of a weak key", path)
		}
		pool.AddCert(cert)
	}
	return pool, nil
}

func readLists(paths []string) (revocations, error) {
	var lists revocations
	for _, path := range paths {
		blocks, err := readPEM(path, "X509 CRL")
		if err != nil {
			return nil, err
		}
		for _, der := range blocks {
			list, err := x509.ParseRevocationList(der)
			if err != nil {
				return nil, fmt.Errorf("%s: a revocation list is malformed", path)
			}
			lists = append(lists, list)
		}
	}
	return lists, nil
}

// readIdentity reads the server's certificate and key. The certificate must name the base URL, because clients compare the two
// (HL7 UDAP Security 1.1.0, "Discovery", signed metadata).
func readIdentity(certFile, keyFile, base string, now time.Time) (*identity, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, errors.New("the certificate and its key cannot be read, or do not belong together")
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok || !strongKey(&key.PublicKey) {
		return nil, fmt.Errorf("the key must be RSA of at least %d bits: metadata are signed with RS256", minRSABits)
	}
	chain := Chain{Leaf: pair.Leaf}
	if !chain.Names(base) {
		return nil, errors.New("the certificate does not have PDEX_BASE_URL as a URI among its subject alternative names")
	}
	if !now.Before(pair.Leaf.NotAfter) {
		return nil, errors.New("the certificate has expired")
	}
	return &identity{x5c: encodeChain(pair.Certificate), leaf: pair.Leaf, key: key}, nil
}

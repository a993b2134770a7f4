package udap

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

const (
	maxChain    = 8
	maxCert     = 16 << 10 // bytes of one certificate, DER
	minRSABits  = 2048
	maxURI      = 512
	maxSANs     = 100
	headerParts = 3
)

// Why a chain is turned down. For the log.
var (
	errX5C      = errors.New("x5c is not a list of certificates")
	errLeaf     = errors.New("the certificate is not one to sign with: a CA's, without digitalSignature, or of a weak key")
	errPath     = errors.New("no valid path leads from the certificate to a trust anchor of the community")
	errRevoked  = errors.New("a certificate of the path is revoked, or its issuer's revocation list is out of date")
	errNoAnchor = errors.New("the community has no trust anchors at present")
)

// Chain is what an x5c header brings: the signer's certificate and others that may lead to an anchor. Nothing in it is to be
// believed before Trust has verified it.
type Chain struct {
	Leaf   *x509.Certificate
	others []*x509.Certificate
}

// ParseX5C reads the x5c of a JWS header (RFC 7515 section 4.1.6): the signer's certificate first, each DER in base64.
func ParseX5C(raw json.RawMessage) (*Chain, error) {
	var texts []string
	if err := json.Unmarshal(raw, &texts); err != nil || len(texts) == 0 || len(texts) > maxChain {
		return nil, errX5C
	}
	var c Chain
	for i, text := range texts {
		if len(text) > base64.StdEncoding.EncodedLen(maxCert) || strings.ContainsAny(text, "\r\n") {
			return nil, errX5C
		}
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, errX5C
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errX5C
		}
		if i == 0 {
			c.Leaf = cert
		} else {
			c.others = append(c.others, cert)
		}
	}
	return &c, nil
}

// Names reports whether the signer's certificate has a URI among its subject alternative names. It is compared as it is
// written.
func (c *Chain) Names(uri string) bool {
	if len(c.Leaf.URIs) > maxSANs {
		return false
	}
	for _, u := range c.Leaf.URIs {
		if u.String() == uri {
			return true
		}
	}
	return false
}

// usableLeaf checks what of the signer's certificate the path does not depend on.
func (c *Chain) usableLeaf() error {
	leaf := c.Leaf
	if leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 || !strongKey(leaf.PublicKey) {
		return errLeaf
	}
	return nil
}

func strongKey(public any) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits && key.E >= 3
	case *ecdsa.PublicKey:
		return key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521()
	default:
		return false
	}
}

// verify looks for a path from the chain to an anchor: validity at the instant, signatures, basic constraints, path lengths,
// name constraints and critical extensions (RFC 5280 section 6, by crypto/x509), strong keys, and no revoked certificate.
func (c *Chain) verify(community *community, at time.Time) error {
	if err := c.usableLeaf(); err != nil {
		return err
	}
	if community.anchors == nil {
		return errNoAnchor
	}
	intermediates := x509.NewCertPool()
	for _, cert := range c.others {
		intermediates.AddCert(cert)
	}
	paths, err := c.Leaf.Verify(x509.VerifyOptions{
		Roots: community.anchors, Intermediates: intermediates, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // communities do not agree on any
	})
	if err != nil {
		return errPath
	}
	fault := errPath
	for _, path := range paths {
		if fault = community.revocations.check(path, at); fault == nil && strongPath(path) {
			return nil
		}
	}
	if fault == nil {
		fault = errPath
	}
	return fault
}

func strongPath(path []*x509.Certificate) bool {
	for _, cert := range path {
		if !strongKey(cert.PublicKey) {
			return false
		}
	}
	return true
}

// revocations are the operator's revocation lists.
type revocations []*x509.RevocationList

// check looks every certificate of a path up on the lists of its issuer. A list counts when the issuer has signed it.
func (r revocations) check(path []*x509.Certificate, at time.Time) error {
	for i := range len(path) - 1 {
		cert, issuer := path[i], path[i+1]
		for _, list := range r {
			if list.CheckSignatureFrom(issuer) != nil {
				continue
			}
			if list.NextUpdate.IsZero() || !at.Before(list.NextUpdate) {
				return errRevoked
			}
			for _, entry := range list.RevokedCertificateEntries {
				if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
					return errRevoked
				}
			}
		}
	}
	return nil
}

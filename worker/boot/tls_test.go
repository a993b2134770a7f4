package boot_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/worker/boot"
)

// certificate writes a self-signed certificate with the given serial number and its key over what is there.
func certificate(t *testing.T, dir string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
}

// TLS 1.1 is refused, 1.2 is taken with ciphers that keep old sessions secret only, and a new certificate is used without a
// restart (KO-11).
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir, 1)
	m := &boot.Main{
		Name: "api", LogTo: io.Discard,
		Environ: []string{"PDEX_DEV=true", "PDEX_TLS_CERT_FILE=" + filepath.Join(dir, "cert.pem"), "PDEX_TLS_KEY_FILE=" + filepath.Join(dir, "key.pem"), "PDEX_BASE_URL=https://127.0.0.1/fhir"},
		Needs:   boot.NeedPublic,
		Setup: func(ctx context.Context, p *boot.Process) error {
			return p.Serve(ctx, "api", "127.0.0.1:0", http.NotFoundHandler(), true)
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(context.Background()) }()
	select {
	case <-m.Ready():
	case err := <-ended:
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		m.Close()
		require.NoError(t, <-ended)
	})
	dial := func(c *tls.Config) (tls.ConnectionState, error) {
		c.InsecureSkipVerify = true // what is looked at is the handshake
		conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", m.Addr("api"))
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState(), nil
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		_, err := dial(&tls.Config{MinVersion: version, MaxVersion: version})
		require.ErrorContains(t, err, "protocol version")
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		state, err := dial(&tls.Config{MinVersion: version, MaxVersion: version})
		require.NoError(t, err)
		require.Equal(t, int64(1), state.PeerCertificates[0].SerialNumber.Int64())
	}
	for _, suite := range []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA} {
		_, err := dial(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
		require.Error(t, err, tls.CipherSuiteName(suite))
	}
	certificate(t, dir, 2)
	state, err := dial(&tls.Config{MinVersion: tls.VersionTLS13})
	require.NoError(t, err)
	require.Equal(t, int64(2), state.PeerCertificates[0].SerialNumber.Int64())
}

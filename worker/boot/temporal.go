package boot

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	temporallog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"pdexbulk/models"
)

// maxCodecBody bounds a request to the codec server, in bytes: a page of a workflow's history fits.
const maxCodecBody = 16 << 20

// TemporalOptions returns client options for a configuration. With a codec, payloads, memos and the messages and stack
// traces of failures are sealed; search attributes, ids and names never are. codec may be nil.
func TemporalOptions(c TemporalConfig, codec *Codec, log *slog.Logger) (client.Options, error) {
	opts := client.Options{
		HostPort:  c.Address,
		Namespace: c.Namespace,
		Logger:    temporallog.NewStructuredLogger(log),
	}
	opts.DataConverter, opts.FailureConverter = Converters(codec)
	if c.APIKey != "" {
		opts.Credentials = client.NewAPIKeyStaticCredentials(c.APIKey.Reveal())
	}
	if !c.TLS && c.CAFile == "" && c.CertFile == "" && c.APIKey == "" {
		return opts, nil
	}
	conf, err := clientTLS(c)
	if err != nil {
		return client.Options{}, err
	}
	opts.ConnectionOptions.TLS = conf
	return opts, nil
}

// Converters returns the data and failure converters every client, worker and replayer of ours must share.
func Converters(codec *Codec) (converter.DataConverter, converter.FailureConverter) {
	data := converter.GetDefaultDataConverter()
	if codec == nil {
		return data, temporal.GetDefaultFailureConverter()
	}
	data = converter.NewCodecDataConverter(data, codec)
	return data, temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          data,
		EncodeCommonAttributes: true,
	})
}

func clientTLS(c TemporalConfig) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read PDEX_TEMPORAL_TLS_CA_FILE: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("read PDEX_TEMPORAL_TLS_CA_FILE: no certificate in it")
		}
	}
	if c.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			return &cert, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("read the Temporal client certificate: %w", err)
		}
		// Certificates are replaced on disk while we run.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return conf, nil
}

// serverTLS is the api's side of HTTPS. The certificate is read for every handshake, so a renewed one is served at once;
// next to the handshake the reading costs nothing.
func serverTLS(c ServerTLS) (*tls.Config, error) {
	load := func() (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		return &cert, err
	}
	if _, err := load(); err != nil {
		return nil, fmt.Errorf("read the server certificate: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Of TLS 1.2 only what keeps past sessions secret and is authenticated encryption; TLS 1.3 has nothing else.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() },
		NextProtos:     []string{"h2", "http/1.1"},
	}, nil
}

// CodecHandler answers POST /codec/encode and /codec/decode, by which the Temporal UI and CLI show sealed payloads
// (https://docs.temporal.io/codec-server). admin decides on every request who may; what it returns is turned into 401 for
// models.KindUnauthorized and 403 for all else. origin is the UI's, which browsers are told may call us; "" for none.
func CodecHandler(codec *Codec, admin func(*http.Request) error, origin string) http.Handler {
	inner := converter.NewPayloadCodecHTTPHandler(codec)
	mux := http.NewServeMux()
	for _, path := range []string{"/codec/encode", "/codec/decode"} {
		mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, r *http.Request) {
			allowOrigin(w, r, origin)
			w.WriteHeader(http.StatusNoContent)
		})
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			allowOrigin(w, r, origin)
			w.Header().Set("Cache-Control", "no-store")
			if err := admin(r); err != nil {
				status := http.StatusForbidden
				if models.KindOf(err) == models.KindUnauthorized {
					status = http.StatusUnauthorized
				}
				http.Error(w, http.StatusText(status), status)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxCodecBody)
			inner.ServeHTTP(w, r)
		})
	}
	return mux
}

// allowOrigin lets the one page we know read our answers; a browser keeps them from every other.
func allowOrigin(w http.ResponseWriter, r *http.Request, origin string) {
	w.Header().Add("Vary", "Origin")
	if origin == "" || r.Header.Get("Origin") != origin {
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	w.Header().Set("Access-Control-Allow-Methods", "POST")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
}

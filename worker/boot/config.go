package boot

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Config is everything a process takes from its environment. The zero environment is a safe one: it listens on loopback
// only, and whatever has no safe default is demanded by Check.
//
// Each field's help is the text the README's table is made from; see Describe.
type Config struct {
	Database DatabaseConfig
	Temporal TemporalConfig
	Blob     BlobConfig
	Log      LogConfig
	HTTP     HTTPConfig
	Work     WorkConfig
	Holder   HolderConfig

	// Dev lowers guards that a real deployment must not be without. Each place that reads it says which.
	Dev bool `env:"PDEX_DEV" envDefault:"false" help:"development: allow plain http URLs, unencrypted payloads and insecure key sets"`
	// StartTimeout is for dependencies that start at the same time as we do.
	StartTimeout time.Duration `env:"PDEX_START_TIMEOUT" envDefault:"1m" help:"how long to wait at start for Postgres, Temporal and the file store"`
	// ShutdownGrace is shared by all parts of the process.
	ShutdownGrace time.Duration `env:"PDEX_SHUTDOWN_GRACE" envDefault:"25s" help:"how long requests and activities in flight may take to finish on SIGTERM"`
	// DrainDelay passes between readiness failing and connections being refused.
	DrainDelay time.Duration `env:"PDEX_DRAIN_DELAY" envDefault:"0s" help:"how long to go on serving after readiness turns to 503, so that load balancers notice; comes on top of the grace"`
}

// DatabaseConfig says where Postgres is.
type DatabaseConfig struct {
	URL     Secret `env:"PDEX_DATABASE_URL" help:"Postgres, as postgres://user:password@host:5432/name; parameters of pgx apply (pool_max_conns, sslmode, ...)"`
	Migrate bool   `env:"PDEX_MIGRATE" envDefault:"true" help:"bring the schema up to date at start; processes that start together take turns"`
}

// TemporalConfig says where Temporal is, how to prove who we are, and how payloads are sealed.
type TemporalConfig struct {
	Address   string `env:"PDEX_TEMPORAL_ADDRESS" envDefault:"127.0.0.1:7233" help:"Temporal's gRPC address, host:port"`
	Namespace string `env:"PDEX_TEMPORAL_NAMESPACE" envDefault:"default" help:"Temporal namespace"`
	TaskQueue string `env:"PDEX_TASK_QUEUE" envDefault:"pdex" help:"task queue that the api starts workflows on and the worker serves"`

	TLS        bool   `env:"PDEX_TEMPORAL_TLS" envDefault:"false" help:"use TLS; also implied by a CA, a certificate or an API key"`
	CAFile     string `env:"PDEX_TEMPORAL_TLS_CA_FILE" help:"PEM file of the authorities to trust instead of the system's"`
	CertFile   string `env:"PDEX_TEMPORAL_TLS_CERT_FILE" help:"PEM file of our client certificate; read again for every connection"`
	KeyFile    string `env:"PDEX_TEMPORAL_TLS_KEY_FILE" help:"PEM file of its key"`
	ServerName string `env:"PDEX_TEMPORAL_TLS_SERVER_NAME" help:"name to expect in Temporal's certificate when it is not the address"`
	APIKey     Secret `env:"PDEX_TEMPORAL_API_KEY" help:"API key of Temporal Cloud"`

	PayloadKeys Secret `env:"PDEX_PAYLOAD_KEYS" help:"AES-256 keys that seal workflow payloads, as id:base64,id:base64; the first seals, all open; empty only with PDEX_DEV"`
	UIOrigin    string `env:"PDEX_TEMPORAL_UI_ORIGIN" help:"origin of the Temporal UI that may call the codec server from a browser, as https://host"`
}

// BlobConfig says where files are kept.
type BlobConfig struct {
	URL Secret `env:"PDEX_BLOB_URL" help:"file store: file:///path, or s3://bucket?region=..&prefix=..&endpoint=.."`
}

// LogConfig shapes the log, which goes to standard error.
type LogConfig struct {
	Level  string `env:"PDEX_LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	Format string `env:"PDEX_LOG_FORMAT" envDefault:"json" help:"json or text"`
}

// HTTPConfig says where we listen and what we are called.
type HTTPConfig struct {
	Listen       string `env:"PDEX_LISTEN" envDefault:"127.0.0.1:8080" help:"address the api listens on"`
	HealthListen string `env:"PDEX_HEALTH_LISTEN" envDefault:"127.0.0.1:8081" help:"address the worker answers /healthz and /readyz on"`
	BaseURL      string `env:"PDEX_BASE_URL" help:"public FHIR base URL, without a trailing slash; all links in answers begin with it"`
	// HeaderBytes and the timeouts are for both servers. How long an answer may take, the api bounds.
	HeaderBytes   int           `env:"PDEX_HEADER_BYTES" envDefault:"65536" help:"bytes the headers of a request may have; a client assertion with its certificate chain fits"`
	HeaderTimeout time.Duration `env:"PDEX_HEADER_TIMEOUT" envDefault:"10s" help:"how long the headers of a request may take to come"`
	IdleTimeout   time.Duration `env:"PDEX_IDLE_TIMEOUT" envDefault:"2m" help:"how long a connection may wait for its next request"`
	TLS           ServerTLS
}

// ServerTLS is for an api without a proxy in front that ends TLS.
type ServerTLS struct {
	CertFile string `env:"PDEX_TLS_CERT_FILE" help:"PEM file of the api's certificate chain; read again when it changes; empty when a proxy ends TLS"`
	KeyFile  string `env:"PDEX_TLS_KEY_FILE" help:"PEM file of its key"`
}

// WorkConfig bounds what a worker takes on.
type WorkConfig struct {
	ExportConcurrency int      `env:"PDEX_EXPORT_CONCURRENCY" envDefault:"4" help:"export chunks one worker runs at a time"`
	ImportRoots       []string `env:"PDEX_IMPORT_ROOTS" help:"folders and s3://bucket?prefix=.. URLs that imports may read, separated by commas; empty allows none"`
}

// HolderConfig says whose data it is.
type HolderConfig struct {
	Name string   `env:"PDEX_HOLDER_NAME" envDefault:"This payer" help:"name of the payer whose data this is"`
	IDs  []string `env:"PDEX_HOLDER_IDS" help:"its organisation identifiers, system|value, separated by commas; consents must name one"`
}

// Check reports everything that is missing or wrong for a program with the given needs. It names variables, never values.
func (c Config) Check(needs Needs) error {
	var bad []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	refuse(needs&NeedDatabase != 0 && c.Database.URL == "", "PDEX_DATABASE_URL is missing")
	refuse(needs&NeedBlob != 0 && c.Blob.URL == "", "PDEX_BLOB_URL is missing")
	refuse(!c.Dev && plainS3(c.Blob.URL.Reveal()), "PDEX_BLOB_URL: an http endpoint is refused without PDEX_DEV")

	_, _, err := net.SplitHostPort(c.Temporal.Address)
	refuse(err != nil, "PDEX_TEMPORAL_ADDRESS: not a host:port")
	refuse((c.Temporal.CertFile == "") != (c.Temporal.KeyFile == ""), "PDEX_TEMPORAL_TLS_CERT_FILE and PDEX_TEMPORAL_TLS_KEY_FILE go together")
	refuse(needs&NeedTemporal != 0 && !c.Dev && c.Temporal.PayloadKeys == "", "PDEX_PAYLOAD_KEYS is missing; only PDEX_DEV runs without")
	if c.Temporal.PayloadKeys != "" {
		_, err := ParseCodec(c.Temporal.PayloadKeys.Reveal())
		refuse(err != nil, "PDEX_PAYLOAD_KEYS: %w", err)
	}
	refuse(c.Temporal.UIOrigin != "" && !validOrigin(c.Temporal.UIOrigin, c.Dev), "PDEX_TEMPORAL_UI_ORIGIN: not an origin like https://host")

	_, err = c.Log.level()
	refuse(err != nil, "PDEX_LOG_LEVEL: not one of debug, info, warn, error")
	refuse(c.Log.Format != "json" && c.Log.Format != "text", "PDEX_LOG_FORMAT: not json or text")

	refuse(needs&NeedPublic != 0 && c.HTTP.BaseURL == "", "PDEX_BASE_URL is missing")
	refuse(c.HTTP.BaseURL != "" && !validBase(c.HTTP.BaseURL, c.Dev), "PDEX_BASE_URL: not an absolute https URL without query, fragment and trailing slash")
	refuse(c.HTTP.HeaderBytes < minHeader || c.HTTP.HeaderBytes > maxHeader, "PDEX_HEADER_BYTES: not within %d and %d", minHeader, maxHeader)
	refuse(c.HTTP.HeaderTimeout <= 0, "PDEX_HEADER_TIMEOUT: not a positive duration")
	refuse(c.HTTP.IdleTimeout <= 0, "PDEX_IDLE_TIMEOUT: not a positive duration")
	refuse((c.HTTP.TLS.CertFile == "") != (c.HTTP.TLS.KeyFile == ""), "PDEX_TLS_CERT_FILE and PDEX_TLS_KEY_FILE go together")

	refuse(c.Work.ExportConcurrency < 1 || c.Work.ExportConcurrency > 1000, "PDEX_EXPORT_CONCURRENCY: not within 1 and 1000")
	for _, root := range c.Work.ImportRoots {
		refuse(!validRoot(root), "PDEX_IMPORT_ROOTS: an entry is neither an absolute path nor a file:/// or s3:// URL")
		refuse(!c.Dev && plainS3(root), "PDEX_IMPORT_ROOTS: an http endpoint is refused without PDEX_DEV")
	}
	refuse(c.StartTimeout <= 0, "PDEX_START_TIMEOUT: not a positive duration")
	refuse(c.ShutdownGrace <= 0, "PDEX_SHUTDOWN_GRACE: not a positive duration")
	refuse(c.DrainDelay < 0, "PDEX_DRAIN_DELAY: negative")
	return errors.Join(bad...)
}

// plainS3 reports whether an S3 URL would send health data unencrypted.
func plainS3(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "s3" {
		return false
	}
	q := u.Query()
	unsealed, _ := strconv.ParseBool(q.Get("disable_https")) // as it is read when the bucket is opened
	return strings.HasPrefix(strings.ToLower(q.Get("endpoint")), "http://") || unsealed
}

// absolute parses a URL that names a host, over https or, in development, http.
func absolute(raw string, dev bool) (*url.URL, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(raw, "?#") {
		return nil, false
	}
	return u, u.Scheme == "https" || dev && u.Scheme == "http"
}

func validBase(raw string, dev bool) bool {
	_, ok := absolute(raw, dev)
	return ok && !strings.HasSuffix(raw, "/")
}

func validOrigin(raw string, dev bool) bool {
	u, ok := absolute(raw, dev)
	return ok && u.Path == ""
}

func validRoot(root string) bool {
	u, err := url.Parse(root)
	if err == nil && u.Scheme == "s3" {
		return u.Host != ""
	}
	return filepath.IsAbs(strings.TrimPrefix(root, "file://"))
}

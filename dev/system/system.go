// Package system runs the whole product on a development stack: Postgres, Temporal, one api and any number of workers, each
// a process of its own, as in production. The demo, the end-to-end tests, the benchmarks and "make run" stand on it.
//
// Everything it starts dies with this process. It is for development: secrets are made up and kept beside the state.
package system

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"pdexbulk/dev/client"
	"pdexbulk/dev/pki"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/stack/child"
	"pdexbulk/models"
)

// Options say how to run it.
type Options struct {
	Stack stack.Options
	// Workers is how many worker processes to start; 0 means one.
	Workers int
	// HolderName and HolderIDs are the payer whose data it holds; identifiers are system|value.
	HolderName string
	HolderIDs  []string
	// ImportRoots are folders imports may read.
	ImportRoots []string
	// Port is the api's; 0 means 8080 when free, else any.
	Port int
	// Env adds to the environment of api and workers.
	Env []string
	// Binaries is a folder with an api and a worker to run; "" builds them into dev/bin.
	Binaries string
}

// System is the running product.
type System struct {
	Stack *stack.Stack
	// Root is the api's URL, Base the FHIR base below it.
	Root, Base string
	AdminToken string
	// PayloadKeys seal what Temporal is given, as PDEX_PAYLOAD_KEYS; whoever reads histories needs them.
	PayloadKeys string
	// Files is the folder of the file store.
	Files string
	// UDAP is the trust community that the api takes part in.
	UDAP *pki.Server
	// API is the api that was started last, Workers are all workers in the order they were started, ended ones too.
	API     *Program
	Workers []*Program

	o   Options
	bin string
	env []string
}

// Program is a process of the product.
type Program struct {
	*child.Process
	// Health is the URL below which /healthz and /readyz are.
	Health string
}

// secrets are made once and kept, because what a run has sealed the next must be able to open.
type secrets struct {
	AdminToken  string `json:"adminToken"`
	PayloadKeys string `json:"payloadKeys"`
}

// Start builds the binaries, brings everything up and returns when api and workers say they are ready. ctx bounds the
// start alone.
func Start(ctx context.Context, o Options) (_ *System, err error) {
	s := &System{o: o, bin: o.Binaries}
	if s.bin == "" {
		root, err := stack.Root()
		if err != nil {
			return nil, err
		}
		s.bin = filepath.Join(root, "dev", "bin")
		if err := Build(ctx, s.bin); err != nil {
			return nil, err
		}
	}
	if s.Stack, err = stack.Start(ctx, o.Stack); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}()
	keep, err := loadSecrets(filepath.Join(s.Stack.Dir, "secrets.json"))
	if err != nil {
		return nil, err
	}
	s.AdminToken, s.PayloadKeys = keep.AdminToken, keep.PayloadKeys
	s.Files = filepath.Join(s.Stack.Dir, "files")
	if err := os.MkdirAll(s.Files, 0o700); err != nil {
		return nil, err
	}
	port, err := freePort(ctx, o.Port, 8080)
	if err != nil {
		return nil, err
	}
	s.Root = "http://127.0.0.1:" + strconv.Itoa(port)
	s.Base = s.Root + "/fhir"
	if s.UDAP, err = pki.NewServer(filepath.Join(s.Stack.Dir, "udap"), s.Base); err != nil {
		return nil, err
	}
	s.env = slices.Concat(s.UDAP.Env(), []string{
		"PDEX_DEV=true",
		"PDEX_BLOB_URL=file://" + s.Files,
		"PDEX_PAYLOAD_KEYS=" + keep.PayloadKeys,
		"PDEX_ADMIN_TOKEN=" + keep.AdminToken,
		"PDEX_AUDIT_KEYS=" + keep.PayloadKeys,
		"PDEX_ADDRESS_RATE=0", // everybody here has the same
		"PDEX_BASE_URL=" + s.Base,
		"PDEX_LISTEN=127.0.0.1:" + strconv.Itoa(port),
		"PDEX_IMPORT_ROOTS=" + strings.Join(o.ImportRoots, ","),
		"PDEX_HOLDER_NAME=" + o.HolderName,
		"PDEX_HOLDER_IDS=" + strings.Join(o.HolderIDs, ","),
		"PDEX_SENSITIVE_DATA=tagged",
		"PDEX_TEMPORAL_UI_ORIGIN=" + s.Stack.TemporalUIURL,
	}, o.Env)
	for range max(1, o.Workers) {
		if _, err := s.StartWorker(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := s.StartAPI(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Build compiles api and worker into a folder; when nothing changed it takes a moment.
func Build(ctx context.Context, folder string) error {
	root, err := stack.Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", folder+string(filepath.Separator), "./api", "./worker")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build api and worker: %w\n%s", err, out)
	}
	return nil
}

func loadSecrets(path string) (secrets, error) {
	var s secrets
	text, err := os.ReadFile(path)
	if err == nil {
		return s, json.Unmarshal(text, &s)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	s = secrets{AdminToken: rand.Text(), PayloadKeys: "dev:" + base64.StdEncoding.EncodeToString(key[:])}
	if text, err = json.Marshal(s); err != nil {
		return s, err
	}
	return s, os.WriteFile(path, text, 0o600)
}

// freePort returns the port asked for, else the usual one when it is free, else any.
func freePort(ctx context.Context, asked, usual int) (int, error) {
	var lc net.ListenConfig
	tries := []int{usual, 0}
	if asked != 0 {
		tries = []int{asked}
	}
	var err error
	for _, p := range tries {
		var l net.Listener
		if l, err = lc.Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(p)); err == nil {
			port := l.Addr().(*net.TCPAddr).Port
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a port: %w", err)
}

// StartWorker starts one more worker and waits until it is ready.
func (s *System) StartWorker(ctx context.Context) (*Program, error) {
	port, err := freePort(ctx, 0, 0)
	if err != nil {
		return nil, err
	}
	health := "127.0.0.1:" + strconv.Itoa(port)
	p, err := s.start(ctx, fmt.Sprintf("worker-%d", len(s.Workers)+1), "worker", "http://"+health, "PDEX_HEALTH_LISTEN="+health)
	if err != nil {
		return nil, err
	}
	s.Workers = append(s.Workers, p)
	return p, nil
}

// StartAPI starts the api and waits until it is ready. There can be one at a time: they share an address.
func (s *System) StartAPI(ctx context.Context) (*Program, error) {
	p, err := s.start(ctx, "api", "api", s.Root)
	if err != nil {
		return nil, err
	}
	s.API = p
	return p, nil
}

// StartSecondAPI starts another api beside the first, with the same base URL and an address of its own, which is the root of
// its URLs.
func (s *System) StartSecondAPI(ctx context.Context) (root string, _ *Program, err error) {
	port, err := freePort(ctx, 0, 0)
	if err != nil {
		return "", nil, err
	}
	listen := "127.0.0.1:" + strconv.Itoa(port)
	p, err := s.start(ctx, "api-2", "api", "http://"+listen, "PDEX_LISTEN="+listen)
	return "http://" + listen, p, err
}

// StartTLSAPI starts another api beside the first, which ends TLS itself, with a certificate of the UDAP community's. It returns the root
// of its URLs and whom to trust.
func (s *System) StartTLSAPI(ctx context.Context) (root string, trust *x509.CertPool, _ *Program, err error) {
	port, err := freePort(ctx, 0, 0)
	if err != nil {
		return "", nil, nil, err
	}
	cert, key, err := s.UDAP.ServeTLS(net.IPv4(127, 0, 0, 1))
	if err != nil {
		return "", nil, nil, err
	}
	trust = x509.NewCertPool()
	trust.AddCert(s.UDAP.Root.Cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	listen := "127.0.0.1:" + strconv.Itoa(port)
	p, err := s.startAsking(ctx, &http.Client{Transport: transport}, "api-tls", "api", "https://"+listen,
		"PDEX_LISTEN="+listen, "PDEX_TLS_CERT_FILE="+cert, "PDEX_TLS_KEY_FILE="+key)
	return "https://" + listen, trust, p, err
}

// start starts a program and waits until it is ready. One that never becomes ready ends with the stack.
func (s *System) start(ctx context.Context, name, binary, health string, env ...string) (*Program, error) {
	return s.startAsking(ctx, http.DefaultClient, name, binary, health, env...)
}

// startAsking is start with the client to ask by whether the program is ready.
func (s *System) startAsking(ctx context.Context, c *http.Client, name, binary, health string, env ...string) (*Program, error) {
	p, err := s.Stack.Child(context.WithoutCancel(ctx), name, filepath.Join(s.bin, binary), nil, slices.Concat(s.env, env), "")
	if err != nil {
		return nil, err
	}
	return &Program{p, health}, s.ready(ctx, c, p, health+"/readyz")
}

func (s *System) ready(ctx context.Context, c *http.Client, p *child.Process, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := c.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended before it was ready: see %s", p.Name(), filepath.Join(s.Stack.Dir, "logs", p.Name()+".log"))
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: see %s", p.Name(), filepath.Join(s.Stack.Dir, "logs", p.Name()+".log"))
		case <-tick.C:
		}
	}
}

// Stop ends everything.
func (s *System) Stop(ctx context.Context) error { return s.Stack.Stop(ctx) }

// Admin calls the admin API as a developer's tool. in is sent as JSON unless nil; the answer is read into out unless nil.
func (s *System) Admin(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.Root+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.AdminToken)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Reason", "development")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// Partner is a client to register.
type Partner struct {
	ID              string            `json:"-"`
	Name            string            `json:"name"`
	Kind            models.ClientKind `json:"kind"`
	Organization    string            `json:"organization,omitempty"`
	OrganizationIDs []string          `json:"organizationIds,omitempty"`
	Scopes          []string          `json:"scopes"`
}

// Register registers a client with a fresh key and returns it ready for use.
func (s *System) Register(ctx context.Context, p Partner, alg string) (*client.Client, error) {
	key, err := client.NewKey(alg)
	if err != nil {
		return nil, err
	}
	return s.RegisterKey(ctx, p, key)
}

// RegisterKey registers a client with the given key.
func (s *System) RegisterKey(ctx context.Context, p Partner, key *client.Key) (*client.Client, error) {
	jwks, err := client.JWKS(key)
	if err != nil {
		return nil, err
	}
	body := struct {
		Partner
		JWKS   json.RawMessage `json:"jwks"`
		Active bool            `json:"active"`
	}{p, jwks, true}
	if err := s.Admin(ctx, http.MethodPut, "/admin/clients/"+p.ID, body, nil); err != nil {
		return nil, err
	}
	return client.New(client.Config{BaseURL: s.Base, ClientID: p.ID, Key: key, Scope: strings.Join(p.Scopes, " ")}), nil
}

// Import loads a folder or file and waits until it is done. progress, unless nil, is called now and then.
func (s *System) Import(ctx context.Context, source string, mode models.ImportMode, progress func(models.Import)) (models.Import, error) {
	imp, err := s.StartImport(ctx, source, mode)
	if err != nil {
		return models.Import{}, err
	}
	return s.AwaitImport(ctx, *imp, progress)
}

// StartImport starts to load a folder or file.
func (s *System) StartImport(ctx context.Context, source string, mode models.ImportMode) (*models.Import, error) {
	imp := new(models.Import)
	return imp, s.Admin(ctx, http.MethodPost, "/admin/imports", map[string]any{"source": source, "mode": mode}, imp)
}

// AwaitImport waits until an import is done. progress, unless nil, is called now and then. It errs when the import did not
// complete.
func (s *System) AwaitImport(ctx context.Context, imp models.Import, progress func(models.Import)) (models.Import, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for shown := time.Now(); !imp.State.Done(); {
		select {
		case <-ctx.Done():
			return imp, ctx.Err()
		case <-tick.C:
		}
		if err := s.Admin(ctx, http.MethodGet, "/admin/imports/"+imp.ID, nil, &imp); err != nil {
			return imp, err
		}
		if progress != nil && time.Since(shown) > time.Second {
			progress(imp)
			shown = time.Now()
		}
	}
	if imp.State != models.StateCompleted {
		return imp, fmt.Errorf("import %s: %s", imp.State, imp.Error)
	}
	return imp, nil
}

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config says which server a client talks to, and as whom.
type Config struct {
	// BaseURL is the FHIR base, without a trailing slash.
	BaseURL string
	// TokenURL is the token endpoint; "" means what the server's SMART configuration says.
	TokenURL string
	ClientID string
	// Key signs the assertions. A client without one sends no token.
	Key *Key
	// UDAP proves who the client is in place of a key.
	UDAP *UDAP
	// B2B is the hl7-b2b object that goes with every token request of a client with a key; nil sends none.
	B2B map[string]any
	// Scope is what is asked for; "" means system/*.rs.
	Scope string
	// HTTP sends the requests; nil means a client of its own, without an overall timeout.
	HTTP *http.Client
	// Identity asks for files without compression; otherwise gzip is asked for.
	Identity bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Sleep waits between polls; nil means a timer. It returns early with the context's error.
	Sleep func(ctx context.Context, d time.Duration) error
}

// renewBefore is how long before its end a token is replaced: a request that starts now must get through.
const renewBefore = 30 * time.Second

// Client is one registered client of one server. It is safe for concurrent use.
type Client struct {
	cfg Config

	mu       sync.Mutex // held while a token is fetched, so that one fetch serves all
	tokenURL string
	token    string
	expires  time.Time
	granted  string
}

// New returns a client. It sends nothing.
func New(cfg Config) *Client {
	if cfg.Scope == "" {
		cfg.Scope = "system/*.rs"
	}
	if cfg.HTTP == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented type
		transport.MaxIdleConnsPerHost = 32
		cfg.HTTP = &http.Client{Transport: transport}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	cfg.BaseURL = strings.TrimSuffix(cfg.BaseURL, "/")
	return &Client{cfg: cfg, tokenURL: cfg.TokenURL}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Token returns an access token that is good for at least half a minute, asking for a new one when it must.
func (c *Client) Token(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token != "" && c.cfg.Now().Add(renewBefore).Before(c.expires) {
		return c.token, nil
	}
	if err := c.discover(ctx); err != nil {
		return "", err
	}
	if err := c.renew(ctx); err != nil {
		return "", fmt.Errorf("get token: %w", err)
	}
	return c.token, nil
}

// Granted is the scope of the last token, "" before the first.
func (c *Client) Granted() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.granted
}

// forget drops a token that the server has refused, unless it was replaced already.
func (c *Client) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
}

// discover finds the token endpoint (SMART conformance, .well-known/smart-configuration).
func (c *Client) discover(ctx context.Context) error {
	if c.tokenURL != "" {
		return nil
	}
	var doc struct {
		TokenURL string `json:"token_endpoint"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.BaseURL+"/.well-known/smart-configuration", http.NoBody)
	if err != nil {
		return fmt.Errorf("discover: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if err := c.json(req, &doc); err != nil {
		return fmt.Errorf("discover: %w", err)
	}
	if doc.TokenURL == "" {
		return errors.New("discover: the server names no token endpoint")
	}
	c.tokenURL = doc.TokenURL
	return nil
}

func (c *Client) renew(ctx context.Context) error {
	asked := c.cfg.Now()
	sign := func(clientID, tokenURL string, now time.Time) (string, error) {
		return c.cfg.Key.AssertionWith(nil, c.cfg.B2B, clientID, tokenURL, now)
	}
	if c.cfg.UDAP != nil {
		sign = c.cfg.UDAP.Assertion
	}
	assertion, err := sign(c.cfg.ClientID, c.tokenURL, asked)
	if err != nil {
		return err
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
		"scope":                 {c.cfg.Scope},
	}
	if c.cfg.UDAP != nil {
		form.Set("udap", "1")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	var answer struct {
		Token     string `json:"access_token"`
		Type      string `json:"token_type"`
		ExpiresIn int    `json:"expires_in"`
		Scope     string `json:"scope"`
	}
	if err := c.json(req, &answer); err != nil {
		return err
	}
	if answer.Token == "" || !strings.EqualFold(answer.Type, "bearer") || answer.ExpiresIn <= 0 {
		return errors.New("the answer is not a bearer token with an expiry")
	}
	c.token, c.granted = answer.Token, answer.Scope
	c.expires = asked.Add(time.Duration(answer.ExpiresIn) * time.Second)
	return nil
}

// maxDocument bounds the JSON documents that are read whole: manifests, token answers, OperationOutcomes.
const maxDocument = 64 << 20

// json sends a request as it is and decodes a 200 answer.
func (c *Client) json(req *http.Request, into any) error {
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answerError(resp)
	}
	return decode(resp, into)
}

func decode(resp *http.Response, into any) error {
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(into); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// Do sends a request with the client's token. A path without a scheme is taken below the FHIR base. When the token turns
// out to be no longer good the request is sent once more with a new one, if it has no body. The answer may have any
// status; the caller closes its body.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	resp, token, err := c.try(ctx, method, path, header, body)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || token == "" || body != nil {
		return resp, err
	}
	_ = resp.Body.Close()
	c.forget(token)
	resp, _, err = c.try(ctx, method, path, header, nil)
	return resp, err
}

func (c *Client) try(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.resolve(path), body)
	if err != nil {
		return nil, "", err
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	token := ""
	if c.cfg.Key != nil || c.cfg.UDAP != nil {
		if !c.ours(req.URL) {
			return nil, "", errors.New("the URL is on another host, which is not sent the token")
		}
		if token, err = c.Token(ctx); err != nil {
			return nil, "", err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.cfg.HTTP.Do(req)
	return resp, token, err
}

func (c *Client) resolve(path string) string {
	if strings.Contains(path, "://") {
		return path
	}
	return c.cfg.BaseURL + "/" + strings.TrimPrefix(path, "/")
}

// ours reports whether a URL is on the server's own host.
func (c *Client) ours(u *url.URL) bool {
	base, err := url.Parse(c.cfg.BaseURL)
	return err == nil && u.Scheme == base.Scheme && u.Host == base.Host
}

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Job is an asynchronous job, known by its status URL.
type Job struct {
	StatusURL string
	client    *Client
}

// Job returns the job with a status URL kept from before.
func (c *Client) Job(statusURL string) *Job { return &Job{StatusURL: statusURL, client: c} }

// KickOff starts a job: a GET without a body or a POST with one. The headers Accept and Prefer are those of the FHIR
// asynchronous pattern unless given; a body is application/fhir+json unless the header says otherwise. Any answer but
// 202 with an absolute Content-Location is an error.
func (c *Client) KickOff(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*Job, error) {
	h := http.Header{"Accept": {"application/fhir+json"}, "Prefer": {"respond-async"}}
	if body != nil {
		h.Set("Content-Type", "application/fhir+json")
	}
	for name, values := range header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	resp, err := c.Do(ctx, method, path, h, body)
	if err != nil {
		return nil, fmt.Errorf("kick off: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return nil, fmt.Errorf("kick off: %w", answerError(resp))
	}
	locations := resp.Header.Values("Content-Location")
	if len(locations) != 1 {
		return nil, fmt.Errorf("kick off: %d Content-Location headers", len(locations))
	}
	if u, err := url.Parse(locations[0]); err != nil || !u.IsAbs() || u.Host == "" {
		return nil, errors.New("kick off: Content-Location is not absolute")
	}
	return c.Job(locations[0]), nil
}

// MemberMatch starts Group/$bulk-member-match with a Parameters resource.
func (c *Client) MemberMatch(ctx context.Context, body io.Reader) (*Job, error) {
	return c.KickOff(ctx, http.MethodPost, "Group/$bulk-member-match", nil, nil, body)
}

// Progress is what a poll of a running job said.
type Progress struct {
	Text       string        // X-Progress, "" without
	Percent    int           // the percentage Text begins with, -1 without
	RetryAfter time.Duration // how long the server asked to wait
	Status     int           // 202, or 429 or 503 when the server asked for patience
}

// Manifest is the answer of a finished job (Bulk Data Access, "Response - Complete Status").
type Manifest struct {
	TransactionTime     time.Time `json:"transactionTime"`
	Request             string    `json:"request"`
	RequiresAccessToken bool      `json:"requiresAccessToken"`
	// OutputOrganizedBy is set where output has a block for each resource of this type. Its files are then of no type.
	OutputOrganizedBy string          `json:"outputOrganizedBy,omitempty"`
	Output            []File          `json:"output"`
	Deleted           []File          `json:"deleted,omitempty"`
	Error             []File          `json:"error"`
	Extension         json.RawMessage `json:"extension,omitempty"`
	Link              []Link          `json:"link,omitempty"`
	// Expires is the header of the same name, zero without.
	Expires time.Time `json:"-"`
}

// Link leads to a further page of a manifest.
type Link struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

// File is one file of a manifest.
type File struct {
	Type      string          `json:"type"`
	URL       string          `json:"url"`
	Count     *int64          `json:"count,omitempty"`
	Extension json.RawMessage `json:"extension,omitempty"`
}

// maxPages bounds the pages of one manifest.
const maxPages = 100_000

// Wait polls until the job is done and returns its manifest, all pages of it in one. Between polls it waits as long as
// the server asks, a second when it does not say. Each answer of a running job goes to progress, which may be nil. A 429
// or 503 is a request for patience and not an end; patience with 503 runs out after ten in a row. A job that failed or is
// gone is an *Error.
func (j *Job) Wait(ctx context.Context, progress func(Progress)) (*Manifest, error) {
	manifest, err := j.wait(ctx, j.StatusURL, progress)
	if err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	page := manifest
	for range maxPages {
		next := page.next()
		if next == "" {
			manifest.Link = nil
			return manifest, nil
		}
		if page, err = j.wait(ctx, next, progress); err != nil {
			return nil, fmt.Errorf("manifest page: %w", err)
		}
		manifest.Output = append(manifest.Output, page.Output...)
		manifest.Deleted = append(manifest.Deleted, page.Deleted...)
		manifest.Error = append(manifest.Error, page.Error...)
	}
	return nil, errors.New("the manifest does not end")
}

func (m *Manifest) next() string {
	for _, link := range m.Link {
		if link.Relation == "next" {
			return link.URL
		}
	}
	return ""
}

func (j *Job) wait(ctx context.Context, statusURL string, progress func(Progress)) (*Manifest, error) {
	for unavailable := 0; ; {
		manifest, p, err := j.client.poll(ctx, statusURL)
		if manifest != nil || err != nil {
			return manifest, err
		}
		if p.Status != http.StatusServiceUnavailable {
			unavailable = 0
		} else if unavailable++; unavailable == 10 {
			return nil, errors.New("the server stays unavailable")
		}
		if progress != nil {
			progress(p)
		}
		if err := j.client.cfg.Sleep(ctx, p.RetryAfter); err != nil {
			return nil, err
		}
	}
}

// Poll asks once. The manifest is nil while the job runs. A manifest is one page: its next link is not followed.
func (j *Job) Poll(ctx context.Context) (*Manifest, Progress, error) {
	return j.client.poll(ctx, j.StatusURL)
}

func (c *Client) poll(ctx context.Context, statusURL string) (*Manifest, Progress, error) {
	resp, err := c.Do(ctx, http.MethodGet, statusURL, http.Header{"Accept": {"application/json"}}, nil)
	if err != nil {
		return nil, Progress{}, fmt.Errorf("poll: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		manifest, err := readManifest(resp)
		return manifest, Progress{Percent: 100, Status: http.StatusOK}, err
	case http.StatusAccepted, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxDocument)) // so that the connection is used again
		p := Progress{Text: resp.Header.Get("X-Progress"), Status: resp.StatusCode}
		p.Percent = percent(p.Text)
		if p.RetryAfter = retryAfter(resp.Header, c.cfg.Now()); p.RetryAfter == 0 {
			p.RetryAfter = time.Second
		}
		return nil, p, nil
	default:
		return nil, Progress{}, answerError(resp)
	}
}

func readManifest(resp *http.Response) (*Manifest, error) {
	if mediaType := mediaType(resp.Header); mediaType != "application/json" {
		return nil, fmt.Errorf("the manifest is %q, not application/json", mediaType)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	// All five keys are required; decoding into a struct alone would not miss one.
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	for _, key := range []string{"transactionTime", "request", "requiresAccessToken", "output", "error"} {
		if value, ok := keys[key]; !ok || string(value) == "null" {
			return nil, fmt.Errorf("the manifest has no %s", key)
		}
	}
	var m Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	m.Expires, _ = http.ParseTime(resp.Header.Get("Expires")) // zero when absent
	return &m, nil
}

// percent reads the number an X-Progress text begins with, such as "42%, 1000 of 2400 members".
func percent(text string) int {
	digits, _, ok := strings.Cut(text, "%")
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if !ok || err != nil || n < 0 || n > 100 {
		return -1
	}
	return n
}

// Delete cancels a running job or drops a finished one and its files. Any answer but 202 is an error.
func (j *Job) Delete(ctx context.Context) error {
	resp, err := j.client.Do(ctx, http.MethodDelete, j.StatusURL, nil, nil)
	if err != nil {
		return fmt.Errorf("delete job: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("delete job: %w", answerError(resp))
	}
	return nil
}

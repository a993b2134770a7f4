package bulk

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"pdexbulk/models"
)

// asyncHeaders checks Accept and Prefer of a kick-off. Both are lists with parameters; other preferences are let be.
func asyncHeaders(h http.Header) error {
	if !prefers(h, "respond-async", "") {
		return models.Errorf(models.KindInvalid, "this operation only runs asynchronously: send Prefer: respond-async").At("http.Prefer")
	}
	return accepts(h)
}

// accepts checks that the answers of a kick-off, which are FHIR JSON, are wanted.
func accepts(h http.Header) error {
	for item := range list(h, "Accept") {
		media, params, err := mime.ParseMediaType(item)
		if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q <= 0 {
			continue
		}
		if slices.Contains([]string{"application/fhir+json", "application/json", "application/*", "*/*"}, media) {
			return nil
		}
	}
	return models.Errorf(models.KindInvalid, "answers are FHIR JSON: send Accept: application/fhir+json").At("http.Accept")
}

// prefers reports whether a Prefer header (RFC 7240) has a preference of the given name and value.
func prefers(h http.Header, name, value string) bool {
	for item := range list(h, "Prefer") {
		preference, _, _ := strings.Cut(item, ";") // behind it are its parameters
		n, v, _ := strings.Cut(preference, "=")
		v = strings.Trim(strings.TrimSpace(v), `"`)
		if strings.EqualFold(strings.TrimSpace(n), name) && strings.EqualFold(v, value) {
			return true
		}
	}
	return false
}

// specVersion returns the version of PDex whose form of answer a client wants: models.Spec21, or "" for that of today. Asking for
// one is a custom of the HL7 reference implementation: by a header of its own, which counts first, or as a preference.
func specVersion(h http.Header) (string, error) {
	where, version := "http."+specHeader, h.Get(specHeader)
	if version == "" {
		where = "http.Prefer"
		for item := range list(h, "Prefer") {
			if value, ok := strings.CutPrefix(item, "pdex-spec="); ok {
				version = strings.Trim(value, `"`)
			}
		}
	}
	switch {
	case version == "", version == "2.2", strings.HasPrefix(version, "2.2."):
		return "", nil
	case version == models.Spec21, strings.HasPrefix(version, models.Spec21+"."):
		return models.Spec21, nil
	}
	return "", models.Errorf(models.KindInvalid, "this version of PDex is not supported; ask for 2.1 or 2.2").At(where)
}

const specHeader = "X-PDex-Spec-Version"

// lenient reports whether the client would rather go without what is not supported than be refused.
func lenient(h http.Header) bool { return prefers(h, "handling", "lenient") }

// list yields the items of a header that is a list, over all its lines.
func list(h http.Header, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h.Values(name) {
			for item := range strings.SplitSeq(line, ",") {
				if item = strings.TrimSpace(item); item != "" && !yield(item) {
					return
				}
			}
		}
	}
}

// jsonBody checks that a body is declared as JSON in UTF-8.
func jsonBody(h http.Header) error {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "application/fhir+json" && media != "application/json" {
		return models.Errorf(models.KindMediaType, "send the body as application/fhir+json").At("http.Content-Type")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return models.Errorf(models.KindMediaType, "send the body in UTF-8").At("http.Content-Type")
	}
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return models.Errorf(models.KindMediaType, "send the body without compression").At("http.Content-Encoding")
	}
	return nil
}

// idempotencyKey returns the key a request came with, in a form that can be stored, "" without one.
func idempotencyKey(h http.Header) string {
	key := h.Get("Idempotency-Key")
	if len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		sum := sha256.Sum256([]byte(key))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	return key
}

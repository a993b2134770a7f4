package answer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

func TestEveryKindHasAStatus(t *testing.T) {
	t.Parallel()
	for kind, status := range statuses {
		require.Equal(t, status, Status(fmt.Errorf("wrapped: %w", models.Errorf(kind, "x"))))
		require.NotEmpty(t, http.StatusText(status))
	}
	require.Equal(t, 500, Status(errors.New("x")))
	require.Equal(t, 500, Status(models.Errorf("another", "x")))
	require.Len(t, statuses, 13)
}

// What is behind an error goes to the log and nowhere else.
func TestCausesAreLogged(t *testing.T) {
	t.Parallel()
	cause := fmt.Errorf("look up: %w", models.Errorf(models.KindInternal, "inner").Because(errors.New("the disk")))
	err := models.Errorf(models.KindUnavailable, "try again").At("here").Wait(7).Because(cause)
	for _, write := range []func(http.ResponseWriter, *http.Request, *slog.Logger, error){Outcome, Refuse} {
		var logged bytes.Buffer
		w := httptest.NewRecorder()
		write(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", http.NoBody), slog.New(slog.NewTextHandler(&logged, nil)), err)
		require.Equal(t, 503, w.Code)
		require.Equal(t, "7", w.Header().Get("Retry-After"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.Contains(t, w.Body.String(), "try again")
		require.Contains(t, w.Body.String(), "here")
		require.NotContains(t, w.Body.String(), "disk")
		require.NotContains(t, w.Body.String(), "inner")
		require.Contains(t, logged.String(), "here: try again: look up: inner: the disk")
	}
	var logged bytes.Buffer
	w := httptest.NewRecorder()
	Tell(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", http.NoBody), slog.New(slog.NewTextHandler(&logged, nil)), err)
	require.Equal(t, 503, w.Code)
	require.Empty(t, logged.String())
	o, perr := fhir.ParseOutcome(w.Body.Bytes())
	require.NoError(t, perr)
	require.Equal(t, fhir.IssueTransient, o.Issue[0].Code)
}

func TestErrorsWithoutAKindSayNothing(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	Outcome(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", http.NoBody), slog.New(slog.DiscardHandler), errors.New("Zaphod"))
	require.Equal(t, 500, w.Code)
	require.NotContains(t, w.Body.String(), "Zaphod")
	text, err := json.Marshal(ProblemOf(errors.New("Zaphod")))
	require.NoError(t, err)
	require.JSONEq(t, `{"title":"Internal Server Error","status":500,"detail":"internal error"}`, string(text))
}

// Where tokens are given out, errors are those of RFC 6749.
func TestOAuth(t *testing.T) {
	t.Parallel()
	for kind, want := range map[models.Kind]string{
		models.KindInvalid: "invalid_request", models.KindTooLarge: "invalid_request", models.KindThrottled: "temporarily_unavailable",
		models.KindUnavailable: "temporarily_unavailable", models.KindInternal: "server_error",
	} {
		w := httptest.NewRecorder()
		err := models.Errorf(kind, "what").Wait(3).Because(errors.New("Zaphod"))
		OAuth(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/token", http.NoBody), slog.New(slog.DiscardHandler), err)
		require.Equal(t, Status(err), w.Code)
		require.JSONEq(t, `{"error":"`+want+`","error_description":"what"}`, w.Body.String())
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.Equal(t, "3", w.Header().Get("Retry-After"))
	}
}

// Of what Huma finds only the place and what was expected there are told.
func TestRefusal(t *testing.T) {
	t.Parallel()
	const secret = "Zaphod"
	tests := []struct {
		detail *huma.ErrorDetail
		field  string
		says   string
	}{
		{&huma.ErrorDetail{Location: "body.kind", Message: `expected value to be one of "payer"`, Value: secret}, "body.kind", `expected value to be one of "payer"`},
		{&huma.ErrorDetail{Location: "body." + secret, Message: "unexpected property", Value: secret}, "body", "there is a field that is not known here"},
		{&huma.ErrorDetail{Location: secret, Message: "unexpected property"}, "", "there is a field that is not known here"},
		{&huma.ErrorDetail{Location: "body", Message: "invalid character " + secret, Value: secret}, "", details[422]},
		{&huma.ErrorDetail{Location: "query.limit", Message: "invalid integer " + secret, Value: secret}, "query.limit", details[422]},
	}
	for _, tt := range tests {
		err := Refusal(422, secret, nil, tt.detail, &huma.ErrorDetail{Location: "body.later", Message: "expected more"})
		require.Equal(t, 422, err.GetStatus())
		text, merr := json.Marshal(err)
		require.NoError(t, merr)
		require.NotContains(t, string(text), secret)
		p, ok := errors.AsType[*Problem](err)
		require.True(t, ok)
		require.Equal(t, []string{tt.field, tt.says}, []string{p.Field, p.Detail})
	}
	require.NotContains(t, Refusal(500, secret, errors.New(secret)).Error(), secret)
	// What the body was read through has refused it in our own words.
	require.Equal(t, 422, Refusal(500, secret, models.Errorf(models.KindUnprocessable, "too deep")).GetStatus())
}

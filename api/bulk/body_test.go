package bulk

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// A body that does not come in time is given up, and the client is told.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	fault := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		late := time.Now().Add(-bodyPatience)
		_, err := io.ReadAll(&paced{ReadCloser: r.Body, ctl: http.NewResponseController(w), start: late})
		fault <- bodyFault(err)
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer srv.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
	require.NoError(t, err)
	require.Equal(t, models.KindInvalid, models.KindOf(<-fault))
	answer := make([]byte, 12)
	_, err = io.ReadFull(conn, answer)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 400", string(answer))
}

// What is left of the time for a body does not bound the work that follows: the server's watch for the client's leaving would
// take a deadline for it.
func TestDeadlineEndsWithTheBody(t *testing.T) {
	t.Parallel()
	alive := make(chan bool, 1)
	const left = 50 * time.Millisecond
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &paced{ReadCloser: r.Body, ctl: http.NewResponseController(w), start: time.Now().Add(left - bodyPatience)}
		if _, err := io.ReadAll(body); err != nil {
			alive <- false
			return
		}
		select {
		case <-r.Context().Done():
			alive <- false
		case <-time.After(4 * left):
			alive <- true
		}
	}))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader("all of it"))
	require.NoError(t, err)
	resp, err := srv.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.True(t, <-alive)
}

func TestBodyFault(t *testing.T) {
	t.Parallel()
	require.NoError(t, bodyFault(nil))
	require.NoError(t, bodyFault(errors.New("another")))
	_, err := io.ReadAll(requestBody(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("12345")), 4))
	require.Equal(t, models.KindTooLarge, models.KindOf(bodyFault(err)))
}

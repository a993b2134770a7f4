package bulk

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestBodyFault(t *testing.T) {
	t.Parallel()
	require.NoError(t, bodyFault(nil))
	require.NoError(t, bodyFault(errors.New("another")))
	require.Equal(t, models.KindInvalid, models.KindOf(bodyFault(fmt.Errorf("read: %w", os.ErrDeadlineExceeded))))
	_, err := io.ReadAll(http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(strings.NewReader("12345")), 4))
	require.Equal(t, models.KindTooLarge, models.KindOf(bodyFault(err)))
}

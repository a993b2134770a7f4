package bulk

import (
	"errors"
	"net/http"
	"os"

	"pdexbulk/models"
)

// bodyFault says why a body could not be read, nil when that was not the trouble.
func bodyFault(err error) error {
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return models.Errorf(models.KindTooLarge, "the body is over the limit of %d bytes", over.Limit)
	}
	if e, ours := errors.AsType[*models.Error](err); ours { // of what it was read through
		return e
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return models.Errorf(models.KindInvalid, "the body came too slowly")
	}
	return nil
}

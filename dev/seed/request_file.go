package seed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The names of the files SaveRequest writes. A loader leaves both alone.
const (
	RequestFile      = "request.json"
	RequestTruthFile = "request.truth.jsonl"
)

// SaveRequest writes what WriteRequest makes to files in a directory, which may be one that Write has filled. It returns an
// error when one of the files is there already.
func SaveRequest(dir string, o Options, ro RequestOptions) (RequestSummary, error) {
	body, err := createFile(dir, RequestFile)
	if err != nil {
		return RequestSummary{}, err
	}
	truth, err := createFile(dir, RequestTruthFile)
	if err != nil {
		return RequestSummary{}, errors.Join(err, body.Close())
	}
	sum, err := WriteRequest(body, truth, o, ro)
	return sum, errors.Join(err, body.Close(), truth.Close())
}

func createFile(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, fmt.Errorf("save request: %w", err)
	}
	return f, nil
}

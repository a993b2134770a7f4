package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/client"
)

func TestEachLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.ndjson")
	require.NoError(t, os.WriteFile(path, []byte("{\"a\":1}\n{}\n{\"b\":2}"), 0o600))
	var got []string
	require.NoError(t, client.EachLine(path, func(line []byte) error { got = append(got, string(line)); return nil }))
	require.Equal(t, []string{`{"a":1}`, "{}", `{"b":2}`}, got)
	enough := errors.New("enough")
	require.ErrorIs(t, client.EachLine(path, func([]byte) error { return enough }), enough)
	require.ErrorIs(t, client.EachLine(path+"x", func([]byte) error { return nil }), os.ErrNotExist)
}

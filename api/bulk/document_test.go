package bulk

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir"
)

// FuzzDocument holds the stream's values against encoding/json: of a sound document the one value is all of it, and its
// members and elements are what encoding/json finds, whatever pieces it comes in.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `1`, `"a\"b"`, ` {"a" : [1 , {"b":"}"}] } `, `[[],[[]],{}]`, `{"a":"\\","b":"\\\""}`, `nul`, `{"a":1}}`, `{"a":1,}`, `1 2`, `"`, `[1,2`, `,`, `-`,
		`{"é":{"É":1,"e":[true,null,false,-1.5e+3]}}`, `{"a":{"a":1},"b":{"a":2,"A":3}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := newDocument(iotest.OneByteReader(strings.NewReader(string(text))))
		raw, err := d.value(1 << 20)
		if err == nil {
			err = fhir.Check(raw)
		}
		if err == nil {
			if _, err = d.peek(); errors.Is(err, io.EOF) {
				err = nil
			} else {
				err = errSyntax
			}
		}
		require.Equal(t, fhir.Check(text) == nil, err == nil, "sound or not")
		if err != nil {
			return
		}
		require.Equal(t, strings.Trim(string(text), " \t\r\n"), string(raw))
		compare(t, raw)
		require.Equal(t, distinctNames(t, raw), unambiguous(raw))
	})
}

// compare takes a value apart with members and elements and with encoding/json.
func compare(t *testing.T, raw []byte) {
	t.Helper()
	switch raw[0] {
	case '{':
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		_, err := dec.Token()
		require.NoError(t, err)
		for name, value := range members(raw) {
			want, err := dec.Token()
			require.NoError(t, err)
			require.Equal(t, want, name)
			var v json.RawMessage
			require.NoError(t, dec.Decode(&v))
			require.Equal(t, string(v), string(value))
			compare(t, value)
		}
		require.False(t, dec.More())
	case '[':
		var want []json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &want))
		n := 0
		for i, value := range elements(raw) {
			require.Equal(t, n, i)
			require.Equal(t, string(want[i]), string(value))
			compare(t, value)
			n++
		}
		require.Len(t, want, n)
	}
}

// distinctNames is unambiguous, done the plain way.
func distinctNames(t *testing.T, raw []byte) bool {
	t.Helper()
	switch raw[0] {
	case '{':
		var seen []string
		for name, value := range members(raw) {
			for _, s := range seen {
				if strings.EqualFold(s, name) {
					return false
				}
			}
			seen = append(seen, name)
			if !distinctNames(t, value) {
				return false
			}
		}
	case '[':
		for _, value := range elements(raw) {
			if !distinctNames(t, value) {
				return false
			}
		}
	}
	return true
}

func TestDocumentBounds(t *testing.T) {
	t.Parallel()
	value := func(text string, limit int) error {
		_, err := newDocument(strings.NewReader(text)).value(limit)
		return err
	}
	require.NoError(t, value(`"abc"`, 5))
	require.ErrorIs(t, value(`"abc"`, 4), errTooLong)
	require.ErrorIs(t, value(`"`+strings.Repeat("x", 1<<20), 1000), errTooLong, "found out before all of it is held")
	require.ErrorIs(t, value(strings.Repeat("[", 1<<20), 1000), errTooLong)
	require.ErrorIs(t, value(`[1`, 1000), io.ErrUnexpectedEOF)
	require.ErrorIs(t, value(``, 1000), io.ErrUnexpectedEOF)
	broken := errors.New("broken")
	_, err := newDocument(iotest.ErrReader(broken)).value(10)
	require.ErrorIs(t, err, broken)
}

func TestUnambiguousAmongMany(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 100 {
		b.WriteString(`"` + strings.Repeat("x", i+1) + `":{"x":1,"xx":[{"x":2}]},`)
	}
	inner := strings.TrimSuffix(b.String(), ",")
	require.True(t, unambiguous([]byte(`{`+inner+`,"a":{`+inner+`},"y":1}`)))
	require.False(t, unambiguous([]byte(`{`+inner+`,"a":{`+inner+`},"X":1}`)))
	require.False(t, unambiguous([]byte(`{"a":{`+inner+`,"XXX":1}}`)))
}

package checked_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir/checked"
)

func TestValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, value string }{
		{`{"a":[1,{"b":"}"}],"c":"\"]"} ,`, `{"a":[1,{"b":"}"}],"c":"\"]"}`},
		{`"long enough to be read by words, with \\" tail`, `"long enough to be read by words, with \\"`},
		{`"\""x`, `"\""`},
		{`[[],[[]]]]`, `[[],[[]]]`},
		{`-1.5e3}`, `-1.5e3`},
		{`true ]`, `true`},
		{`"open`, `"open`},
		{`"ends in a backslash\`, `"ends in a backslash\`},
		{`{"a":`, `{"a":`},
		{``, ``},
	} {
		require.Equal(t, c.value, c.in[:checked.Value([]byte(c.in), 0)], c.in)
	}
	require.Equal(t, 3, checked.Blanks([]byte(" \t\n{"), 0))
	require.Equal(t, "a\"\\/\b\f\n\r\té😀�", string(checked.Unquote(nil, []byte(`a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83d`))))
}

func TestMembers(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		`{ "a" : 1 , "b":[2,{"c":3}],"d\"":"}" }`: {"a", "1", "b", `[2,{"c":3}]`, `d\"`, `"}"`},
		`{}`:             nil,
		`["a",1]`:        nil,
		``:               nil,
		`{"a":1 "b":2}`:  {"a", "1"},
		`{"a":1,"b":2,}`: {"a", "1", "b", "2"},
		`{"a`:            {"", ""},
	} {
		var got []string
		for name, value := range checked.Members([]byte(in)) {
			got = append(got, string(name), string(value))
		}
		require.Equal(t, want, got, in)
	}
	for name := range checked.Members([]byte(`{"a":1,"b":2}`)) {
		require.Equal(t, "a", string(name))
		break
	}
}

// FuzzChecked holds what it finds in JSON against encoding/json, and itself against running out of anything else.
func FuzzChecked(f *testing.F) {
	f.Add([]byte(`{"a":[1,"\u00e9\"",{}],"b":null}`))
	f.Add([]byte(`"\ud83d\ude00 \ud83d"`))
	f.Add([]byte(`{"a`))
	f.Fuzz(func(t *testing.T, b []byte) {
		start := checked.Blanks(b, 0)
		end := checked.Value(b, start)
		require.True(t, start <= end && end <= len(b))
		for name, value := range checked.Members(b) {
			require.LessOrEqual(t, len(name)+len(value), len(b))
		}
		if !json.Valid(b) {
			return
		}
		require.Equal(t, len(b), checked.Blanks(b, end))
		var names int
		for name, value := range checked.Members(b[start:]) {
			require.True(t, json.Valid(value))
			require.True(t, json.Valid(append(append([]byte{'"'}, name...), '"')))
			names++
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(b, &object) == nil {
			require.GreaterOrEqual(t, names, len(object))
			require.Equal(t, len(object) == 0, names == 0)
		}
		var text string
		if b[start] == '"' && utf8.Valid(b) {
			require.NoError(t, json.Unmarshal(b, &text))
			require.Equal(t, text, string(checked.Unquote(nil, bytes.TrimSpace(b)[1:end-start-1])))
		}
	})
}

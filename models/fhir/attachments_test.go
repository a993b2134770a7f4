package fhir

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAttachments(t *testing.T) {
	t.Parallel()
	type found struct {
		binary          string
		relative, typed bool
	}
	for name, c := range map[string]struct {
		line string
		want []found
	}{
		"none":               {`{"resourceType":"Patient","id":"a"}`, nil},
		"relative":           {`{"content":[{"attachment":{"contentType":"text/plain","url":"Binary/b1"}}]}`, []found{{"b1", true, true}}},
		"type behind":        {`{"content":[{"attachment":{"url":"Binary/b1","contentType":"text/plain"}}]}`, []found{{"b1", true, true}}},
		"no type":            {`{"content":[{"attachment":{"url" : "Binary/b1"}}]}`, []found{{"b1", true, false}}},
		"absolute":           {`{"photo":[{"url":"https://a.example/fhir/Binary/b1"}]}`, []found{{"b1", false, false}}},
		"a version":          {`{"photo":[{"url":"Binary/b1/_history/2"}]}`, []found{{"b1", true, false}}},
		"escaped":            {`{"photo":[{"url":"Binary\/b1"}]}`, []found{{"b1", true, false}}},
		"in an extension":    {`{"extension":[{"url":"x","valueAttachment":{"url":"Binary/b1"}}]}`, []found{{"b1", true, false}}},
		"two":                {`{"content":[{"attachment":{"url":"Binary/a"}},{"attachment":{"url":"Binary/b","contentType":"a/b"}}]}`, []found{{"a", true, false}, {"b", true, true}}},
		"the resource's own": {`{"url":"Binary/b1"}`, nil},
		"an extension's":     {`{"extension":[{"url":"https://a.example/Binary/b1","valueString":"x"}]}`, nil},
		"a modifier's":       {`{"a":{"modifierExtension":[{"url":"https://a.example/Binary/b1"}]}}`, nil},
		"no id":              {`{"photo":[{"url":"Binary/"}]}`, nil},
		"more than an id":    {`{"photo":[{"url":"Binary/b1?x=y"}]}`, nil},
		"another scheme":     {`{"photo":[{"url":"ftp://a.example/Binary/b1"}]}`, nil},
		"no string":          {`{"photo":[{"url":{"Binary":1}}]}`, nil},
		"a reference":        {`{"about":{"reference":"Binary/b1"}}`, nil},
	} {
		var got []found
		for _, a := range Attachments([]byte(c.line)) {
			got = append(got, found{a.Binary, a.Relative, a.Typed})
			require.Contains(t, strings.ReplaceAll(c.line[a.Start:a.End], `\`, ""), "Binary/"+a.Binary, name)
			require.True(t, json.Valid([]byte(c.line[a.Start:a.End])), name)
		}
		require.Equal(t, c.want, got, name)
	}
}

// Replacing changes the urls of attachments and adds the types that are missing; everything else stays byte for byte.
func TestReplaceAttachments(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[A-Za-z0-9.\-]{1,64}`)
		var line, want strings.Builder
		line.WriteString(`{"resourceType":"DocumentReference"`)
		want.WriteString(`{"resourceType":"DocumentReference"`)
		for i := range rapid.IntRange(0, 4).Draw(t, "attachments") {
			name := `,"a` + string(rune('0'+i)) + `":{`
			binary := id.Draw(t, "id")
			typed, held := rapid.Bool().Draw(t, "typed"), rapid.Bool().Draw(t, "held")
			old := rapid.SampledFrom([]string{"Binary/", "https://x.example/y/Binary/"}).Draw(t, "form") + binary
			if !held {
				old = "https://x.example/" + binary
			}
			head, tail := "", ""
			if typed {
				if rapid.Bool().Draw(t, "before") {
					head = `"contentType":"a/b", `
				} else {
					tail = ` ,"contentType":"a/b"`
				}
			}
			line.WriteString(name + head + `"url": "` + old + `"` + tail + `}`)
			if held {
				old = "new/" + binary
				if !typed {
					tail = `,"contentType":"c/d"` + tail
				}
			}
			want.WriteString(name + head + `"url": "` + old + `"` + tail + `}`)
		}
		line.WriteString("}")
		want.WriteString("}")
		in := []byte(line.String())
		got := ReplaceAttachments(nil, in, Attachments(in), func(a Attached) (string, string) { return "new/" + a.Binary, "c/d" })
		require.Equal(t, want.String(), string(got))
	})
}

func TestParseBinary(t *testing.T) {
	t.Parallel()
	b, err := ParseBinary([]byte(`{"resourceType":"Binary","id":"a","contentType":"application/pdf","securityContext":{"reference":"Patient/p"},"data":"aGk="}`))
	require.NoError(t, err)
	require.Equal(t, &Binary{ContentType: "application/pdf", Data: []byte("hi"), Bound: true, Patient: "p"}, b)
	b, err = ParseBinary([]byte(`{"resourceType":"Binary","id":"a","contentType":"text/plain"}`))
	require.NoError(t, err)
	require.Equal(t, &Binary{ContentType: "text/plain", Data: []byte{}}, b)
	b, err = ParseBinary([]byte(`{"resourceType":"Binary","id":"a","contentType":"text/plain","securityContext":{"reference":"Encounter/e"}}`))
	require.NoError(t, err)
	require.Equal(t, &Binary{ContentType: "text/plain", Data: []byte{}, Bound: true, ContextType: TypeEncounter, ContextID: "e"}, b)
	b, err = ParseBinary([]byte(`{"resourceType":"Binary","id":"a","contentType":"text/plain","securityContext":7}`))
	require.NoError(t, err)
	require.Equal(t, &Binary{ContentType: "text/plain", Data: []byte{}, Bound: true}, b, "what cannot be followed still binds")
	for _, bad := range []string{
		`{}`,
		`{"contentType":""}`,
		`{"contentType":"no type"}`,
		`{"contentType":"text/plain\r\nX-Evil: 1"}`,
		`{"contentType":"text/plain","data":"&"}`,
		`{"contentType":"text/plain","data":7}`,
	} {
		_, err := ParseBinary([]byte(bad))
		var reject *Reject
		require.ErrorAs(t, err, &reject, bad)
		require.Equal(t, ReasonBadBinary, reject.Reason)
	}
}

func FuzzAttachments(f *testing.F) {
	f.Add(`{"content":[{"attachment":{"contentType":"text/plain","url":"Binary/b1"}},{"attachment":{"url":"Binary\/b"}}]}`)
	f.Add(`{"extension":[{"url":"Binary/x","valueAttachment":{"url":"https://a/Binary/b"}}]}`)
	f.Fuzz(func(t *testing.T, line string) {
		var facts Facts
		if Inspect([]byte(line), &facts) != nil {
			t.Skip()
		}
		found := Attachments([]byte(line))
		got := ReplaceAttachments(nil, []byte(line), found, func(a Attached) (string, string) { return "https://b/Binary/" + a.Binary, "a/b" })
		require.NoError(t, Inspect(got, &facts))
		again := Attachments(got)
		require.Len(t, again, len(found))
		for i, a := range again {
			require.Equal(t, found[i].Binary, a.Binary)
			require.True(t, a.Typed)
		}
	})
}

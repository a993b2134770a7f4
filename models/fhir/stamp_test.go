package fhir

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestStamp(t *testing.T) {
	t.Parallel()
	const at = 1_600_000_000_000
	const stamp = `"lastUpdated":"2020-09-13T12:26:40.000Z"`
	for _, c := range []struct{ name, line, want string }{
		{"no meta", `{"resourceType":"Patient","id":"x","active":true}`, `{"resourceType":"Patient","id":"x","meta":{` + stamp + `},"active":true}`},
		{"nothing else", `{"resourceType":"Patient","id":"x"}`, `{"resourceType":"Patient","id":"x","meta":{` + stamp + `}}`},
		{"id first, blanks", `{ "id" : "x" , "resourceType" : "Patient" } `, `{ "id" : "x","meta":{` + stamp + `} , "resourceType" : "Patient" } `},
		{"empty meta", `{"resourceType":"Patient","id":"x","meta":{}}`, `{"resourceType":"Patient","id":"x","meta":{` + stamp + `}}`},
		{"blank meta", `{"resourceType":"Patient","id":"x","meta":{ }}`, `{"resourceType":"Patient","id":"x","meta":{` + stamp + ` }}`},
		{"meta without it", `{"meta":{ "versionId":"1"},"resourceType":"Patient","id":"x"}`, `{"meta":{` + stamp + `, "versionId":"1"},"resourceType":"Patient","id":"x"}`},
		{"replaced", `{"resourceType":"Patient","id":"x","meta":{"versionId":"1","lastUpdated" : "2012-05-29T23:45:32Z","tag":[]}}`, `{"resourceType":"Patient","id":"x","meta":{"versionId":"1","lastUpdated" : "2020-09-13T12:26:40.000Z","tag":[]}}`},
		{"not fooled by a contained resource", `{"resourceType":"Patient","id":"x","contained":[{"meta":{"lastUpdated":"2012-05-29T23:45:32Z"}}]}`, `{"resourceType":"Patient","id":"x","meta":{` + stamp + `},"contained":[{"meta":{"lastUpdated":"2012-05-29T23:45:32Z"}}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var f Facts
			require.NoError(t, Inspect([]byte(c.line), &f))
			require.Equal(t, c.want, string(Stamp(nil, []byte(c.line), &f, at)))
			requireStamp(t, []byte(c.line), at)
		})
	}
}

func TestStampProperty(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[ -~é😀\t\n"\\/]{0,20}`)
	value := rapid.Deferred(func() *rapid.Generator[any] {
		return rapid.OneOf(
			rapid.Map(text, func(s string) any { return s }),
			rapid.Map(rapid.Float64Range(-1e9, 1e9), func(v float64) any { return v }),
			rapid.Map(rapid.SliceOfN(text, 0, 3), func(v []string) any { return v }),
			rapid.Map(rapid.MapOfN(rapid.StringMatching(`[a-z]{1,6}`), text, 0, 3), func(v map[string]string) any { return v }),
		)
	})
	rapid.Check(t, func(t *rapid.T) {
		resource := rapid.MapOfN(rapid.StringMatching(`[a-z]{1,3}[A-Z]`), value, 0, 6).Draw(t, "members")
		resource["resourceType"] = TypeName(rapid.Int16Range(1, 146).Draw(t, "type"))
		resource["id"] = rapid.StringMatching(`[A-Za-z0-9\-.]{1,64}`).Draw(t, "id")
		if rapid.Bool().Draw(t, "has meta") {
			meta := map[string]any{}
			if rapid.Bool().Draw(t, "has last updated") {
				meta["lastUpdated"] = FormatInstant(rapid.Int64Range(0, 2e12).Draw(t, "old"))
			}
			if rapid.Bool().Draw(t, "has a tag") {
				meta["tag"] = []any{map[string]any{"code": text.Draw(t, "code")}}
			}
			resource["meta"] = meta
		}
		line, err := json.Marshal(resource)
		require.NoError(t, err)
		requireStamp(t, line, rapid.Int64Range(0, 4e12).Draw(t, "new"))
	})
}

func FuzzInspect(f *testing.F) {
	for _, c := range ruleCases {
		f.Add([]byte(`{"resourceType":"` + c.kind + `","id":"x",` + c.body + `}`))
	}
	f.Add([]byte(`{"id":"x","meta":{"versionId":"1","lastUpdated":"2012-05-29T23:45:32Z","profile":["a"],"security":[{"system":"s","code":"R"}]},"resourceType":"Patient"}`))
	f.Add([]byte(`{"a":{"code":1},"resourceType":"Basic","id":"x","code":{"coding":[{"system":"urn:\u0069so:std:iso:4217","code":"USD"}]}}`))
	f.Add([]byte(`{"resourceType":"Basic","id":"x","contained":[{"resourceType":"Invoice"}],"valueMoney":{},"_currency":{}}`))
	f.Add([]byte(`{"resourceType":"Patient","id":"x","meta":{},"a":["\u00e9\ud83d\ude00",1.5e-7,[[]],{"b":null}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var facts Facts
		if Inspect(line, &facts) != nil {
			return
		}
		require.True(t, json.Valid(line))
		o, err := decodeOracle(line)
		require.NoError(t, err)
		require.Equal(t, o["resourceType"], facts.ResourceType())
		require.Equal(t, o["id"], string(facts.ID))
		require.True(t, facts.Patient == nil || ValidID(string(facts.Patient)))
		require.LessOrEqual(t, facts.First, facts.Last)
		codes, money := oracleNotices(t, line)
		require.Len(t, facts.Codes, codes)
		for _, at := range facts.Codes {
			require.Regexp(t, `"code"[ \t]*:[ \t]*$`, string(line[:at]))
		}
		require.True(t, facts.Money || !money, "what may be money is told")
		requireStamp(t, line, 1_700_000_000_123)
	})
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-0.5e+7,true,null,"\u00e9\\"]}`, " [\r\n]\t", `"é"`, `{"a":{}}`, `01`, `[[[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		if Check(document) == nil {
			require.True(t, json.Valid(document))
			return
		}
		// What is refused is either no JSON, or breaks one of the stricter rules.
		if json.Valid(document) {
			var reject *Reject
			require.ErrorAs(t, Check(document), &reject)
			require.Contains(t, []Reason{ReasonBadUTF8, ReasonTooDeep, ReasonEscapedKey}, reject.Reason)
		}
	})
}

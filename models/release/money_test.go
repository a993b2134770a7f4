package release

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/fhir"
)

var update = flag.Bool("update", false, "write the golden files anew")

// shared holds public example resources. It lies beside the repository and may be absent.
const shared = "../../../shared/"

func basisOf(t require.TestingT, line []byte) []byte {
	var facts fhir.Facts
	require.NoError(t, fhir.Inspect(line, &facts))
	var v Viewer
	out, changed := v.NonFinancial(nil, line, facts.Type, Flags(&facts))
	if !changed {
		require.Nil(t, out)
		return line
	}
	require.NotEqual(t, string(line), string(out))
	return out
}

// requireNoMoney fails on anything in a document that has the shape or the name of money, however deep.
func requireNoMoney(t require.TestingT, doc any, where string) {
	switch v := doc.(type) {
	case map[string]any:
		if typ, ok := v["resourceType"].(string); ok {
			where = typ
		}
		for name, below := range v {
			switch strings.TrimPrefix(name, "_") {
			case "currency", "valueMoney", "unitPrice", "net", "allowedMoney", "usedMoney", "costToBeneficiary", "benefitBalance", "priceOverride",
				"totalNet", "totalGross", "priceComponent", "paymentAmount":
				require.Failf(t, "money", "%s.%s", where, name)
			case "amount":
				if strings.HasPrefix(where, "ExplanationOfBenefit") || strings.HasPrefix(where, "Claim") || strings.HasPrefix(where, "Payment") {
					text, err := json.Marshal(below)
					require.NoError(t, err)
					require.JSONEq(t, maskedAmount, string(text), "%s.%s", where, name)
				}
			case "system":
				require.NotEqual(t, fhir.CurrencySystem, below, "%s.%s", where, name)
			}
			requireNoMoney(t, below, where+"."+name)
		}
	case []any:
		for _, below := range v {
			requireNoMoney(t, below, where)
		}
	}
}

func decode(t require.TestingT, line []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var doc map[string]any
	require.NoError(t, d.Decode(&doc))
	return doc
}

// eachLine calls fn with the lines of the example resources.
func eachLine(t *testing.T, fn func(file string, line []byte)) {
	files, err := filepath.Glob(shared + "data/dev/*/*.ndjson")
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("the example data is not there")
	}
	for _, file := range files {
		f, err := os.Open(file)
		require.NoError(t, err)
		in := bufio.NewScanner(f)
		in.Buffer(nil, 16<<20)
		for in.Scan() {
			fn(file, bytes.Clone(in.Bytes()))
		}
		require.NoError(t, in.Err())
		require.NoError(t, f.Close())
	}
}

// Every example resource there is, of Synthea, Blue Button's form and the guides: its view has no money, agrees with what
// encoding/json makes of the same rules, and is its own view.
func TestViewOfExamples(t *testing.T) {
	t.Parallel()
	changed := map[string]int{}
	eachLine(t, func(file string, line []byte) {
		view := basisOf(t, line)
		require.NoError(t, fhir.Check(view), file)
		doc := decode(t, view)
		requireNoMoney(t, doc, fhir.ResourceTypeOf(line))
		require.Equal(t, oracleView(decode(t, line)), doc, file)
		require.Equal(t, string(view), string(basisOf(t, view)), "%s: the view of a view", file)
		if !bytes.Equal(view, line) {
			changed[fhir.ResourceTypeOf(line)]++
		}
	})
	require.Greater(t, changed["ExplanationOfBenefit"], 500)
	require.Greater(t, changed["Claim"], 500)
	require.NotZero(t, changed["Coverage"])
	require.NotZero(t, changed["Invoice"])
	require.Zero(t, changed["Observation"])
}

// The guide has a non-financial twin of each of its financial examples. Ours agrees with it but for what is explained.
func TestViewAgreesWithTheGuide(t *testing.T) {
	t.Parallel()
	pairs := map[string]string{}
	full, err := filepath.Glob(shared + "spec/examples/carin-bb-2.2.0/ExplanationOfBenefit-EOB*.json")
	require.NoError(t, err)
	for _, f := range full {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "ExplanationOfBenefit-"), ".json")
		pairs[f] = filepath.Dir(f) + "/ExplanationOfBenefit-BB-" + name + "-nonfinancial.json"
	}
	published, err := filepath.Glob(shared + "spec/examples/carin-bb-2.0.0-dev-nonfinancial/ExplanationOfBenefit-EOB*NonFinancial*.json")
	require.NoError(t, err)
	for _, f := range published {
		pairs[strings.Replace(f, "NonFinancial", "", 1)] = f
	}
	if len(pairs) == 0 {
		t.Skip("the guide's examples are not there")
	}
	require.Len(t, pairs, 20)
	for from, to := range pairs {
		t.Run(filepath.Base(filepath.Dir(to))+"/"+filepath.Base(to), func(t *testing.T) {
			t.Parallel()
			a, err := os.ReadFile(from)
			require.NoError(t, err)
			b, err := os.ReadFile(to)
			require.NoError(t, err)
			var line bytes.Buffer
			require.NoError(t, json.Compact(&line, a))
			got, want := decode(t, basisOf(t, line.Bytes())), decode(t, b)
			for _, doc := range []map[string]any{got, want} {
				// They are other resources, and the text of an example is of the example.
				for _, name := range []string{"id", "text", "identifier"} {
					delete(doc, name)
				}
				delete(doc["meta"].(map[string]any), "lastUpdated")
			}
			profile := want["meta"].(map[string]any)["profile"].([]any)
			// Before 2.2.0 the Basis profiles were called so.
			profile[0] = strings.Replace(profile[0].(string), "-NonFinancial", "-Basis", 1)
			switch filepath.Base(to) {
			case "ExplanationOfBenefit-BB-EOBProfessional1-nonfinancial.json":
				// It also leaves out who was paid and that it was paid, which is no amount.
				require.Contains(t, got, "payment")
				require.NotContains(t, got["payment"], "amount")
				delete(got, "payment")
				delete(got, "payee")
			case "ExplanationOfBenefit-BB-EOBProfessionalTransportation1-nonfinancial.json":
				// It still tells an amount.
				require.Contains(t, want, "total")
				delete(want, "total")
			}
			require.Equal(t, tidy(want), tidy(got))
		})
	}
}

// tidy drops lists that the guide's examples leave empty when they take their entries out.
func tidy(doc any) any {
	switch v := doc.(type) {
	case map[string]any:
		for name, below := range v {
			if list, ok := below.([]any); ok && len(list) == 0 {
				delete(v, name)
				continue
			}
			v[name] = tidy(below)
		}
	case []any:
		for i := range v {
			v[i] = tidy(v[i])
		}
	}
	return doc
}

// The golden files: one line of input for each C4BB profile and for the odd forms, and its view beside it.
func TestGoldenViews(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/view/*.in.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 9)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(file)
			require.NoError(t, err)
			var line bytes.Buffer
			require.NoError(t, json.Compact(&line, in))
			var f fhir.Facts
			require.NoError(t, fhir.Inspect(line.Bytes(), &f))
			var out bytes.Buffer
			require.NoError(t, json.Indent(&out, basisOf(t, line.Bytes()), "", "  "))
			out.WriteByte('\n')
			golden := strings.Replace(file, ".in.", ".out.", 1)
			if *update {
				require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), out.String())
			requireNoMoney(t, decode(t, out.Bytes()), fhir.ResourceTypeOf(out.Bytes()))
		})
	}
}

// FuzzNonFinancial holds the view against the oracle for whatever Inspect takes.
func FuzzNonFinancial(f *testing.F) {
	files, err := filepath.Glob("testdata/view/*.in.json")
	require.NoError(f, err)
	for _, file := range files {
		in, err := os.ReadFile(file)
		require.NoError(f, err)
		var line bytes.Buffer
		require.NoError(f, json.Compact(&line, in))
		f.Add(line.Bytes())
	}
	f.Add([]byte(`{"resourceType":"Claim","id":"c","total":{"value":1,"currency":"USD"}}`))
	f.Add([]byte(`{"total":[],"resourceType":"ClaimResponse","id":"c","payment":{"amount":{}, "x":[ {"currency":1} ]}, "text" : {}}`))
	f.Add([]byte(`{"resourceType":"Basic","id":"c","extension":[{"url":"x","valueQuantity":{"system":"urn:iso:std:iso:4217"}},{"extension":[{"url":"y","valueMoney":{}}],"url":"z"}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var facts fhir.Facts
		if fhir.Inspect(line, &facts) != nil || hasTwice(line) {
			return
		}
		view := basisOf(t, line)
		require.NoError(t, fhir.Inspect(view, &facts), "%s\n%s", line, view)
		require.Equal(t, oracleView(decode(t, line)), decode(t, view), "%s\n%s", line, view)
		require.Equal(t, string(view), string(basisOf(t, view)))
	})
}

// hasTwice reports whether an object below the resource has a name twice: what encoding/json makes of that is another matter.
// A string where a list or an object must be is one, too.
func hasTwice(line []byte) bool {
	d := json.NewDecoder(bytes.NewReader(line))
	var names []map[string]bool
	key := false
	var keys []bool
	for {
		tok, err := d.Token()
		if err != nil {
			return false
		}
		switch v := tok.(type) {
		case json.Delim:
			switch v {
			case '{':
				names, keys, key = append(names, map[string]bool{}), append(keys, true), true
				continue
			case '[':
				names, keys, key = append(names, nil), append(keys, false), false
				continue
			}
			names, keys = names[:len(names)-1], keys[:len(keys)-1]
		case string:
			if key {
				top := names[len(names)-1]
				if top[v] {
					return true
				}
				top[v] = true
				key = false
				continue
			}
		}
		key = len(keys) > 0 && keys[len(keys)-1]
	}
}

// claimLine draws an ExplanationOfBenefit without and with amounts in every place that has room for one.
func claimLine(rt *rapid.T) (without, with string) {
	var bare, rich strings.Builder
	both := func(s string) { bare.WriteString(s); rich.WriteString(s) }
	money := func(name string) {
		if rapid.Bool().Draw(rt, name) {
			fmt.Fprintf(&rich, `,"%s":{"value":%d.%02d,"currency":"USD"}`, name, rapid.IntRange(0, 9999).Draw(rt, "units"), rapid.IntRange(0, 99).Draw(rt, "cents"))
		}
	}
	entries := func() {
		both(`,"adjudication":[{"category":{"coding":[{"system":"` + systemDiscriminator + `","code":"benefitpaymentstatus"}]},"reason":{"text":"paid"}`)
		money("amount")
		both(`}`)
		for range rapid.IntRange(0, 3).Draw(rt, "amounts") {
			rich.WriteString(`,{"category":{"coding":[{"system":"` + systemAmounts + `","code":"` + rapid.SampledFrom([]string{"submitted", "copay", "eligible"}).Draw(rt, "code") + `"}]}`)
			money("amount")
			rich.WriteString(`}`)
		}
		both(`,{"category":{"text":"own"},"reason":{"text":"because"}`)
		money("amount")
		both(`}]`)
	}
	both(`{"resourceType":"ExplanationOfBenefit","id":"x","meta":{"profile":["` + c4bbBenefit + `Oral"]},"use":"claim"`)
	if rapid.Bool().Draw(rt, "extensions") {
		both(`,"extension":[{"url":"http://example.org/kept","valueCode":"a"}`)
		if rapid.Bool().Draw(rt, "extension") {
			rich.WriteString(`,{"url":"http://example.org/paid","valueMoney":{"value":3,"currency":"USD"}}`)
		}
		both(`]`)
	}
	both(`,"contained":[{"resourceType":"Coverage","id":"c","status":"active"`)
	if rapid.Bool().Draw(rt, "cost") {
		rich.WriteString(`,"costToBeneficiary":[{"valueMoney":{"value":20,"currency":"USD"}}]`)
	}
	both(`}]`)
	entries()
	both(`,"item":[{"sequence":1`)
	money("unitPrice")
	both(`,"quantity":{"value":2}`)
	money("net")
	entries()
	both(`,"detail":[{"sequence":1`)
	money("net")
	both(`}]}]`)
	if rapid.Bool().Draw(rt, "total") {
		rich.WriteString(`,"total":[{"category":{"text":"all"},"amount":{"value":9,"currency":"EUR"}}]`)
	}
	both(`,"payment":{"type":{"text":"complete"}`)
	money("amount")
	money("adjustment")
	both(`}`)
	if rapid.Bool().Draw(rt, "balance") {
		rich.WriteString(`,"benefitBalance":[{"category":{"text":"medical"},"financial":[{"type":{"text":"deductible"},"usedMoney":{"value":5,"currency":"USD"}}]}]`)
	}
	both(`,"outcome":"complete"}`)
	return bare.String(), rich.String()
}

// Whatever amounts are put into a claim, its view is the same.
func TestMoneyChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		bare, rich := claimLine(rt)
		require.NoError(rt, fhir.Check([]byte(rich)), rich)
		require.Equal(rt, string(basisOf(rt, []byte(bare))), string(basisOf(rt, []byte(rich))))
	})
}

func TestViewsThatChangeNothing(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`{"resourceType":"Observation","id":"o","text":{"status":"generated"},"component":[{"code":{"text":"amount"},"valueQuantity":{"value":1,"unit":"mg"}}]}`,
		`{"resourceType":"Medication","id":"m","amount":{"numerator":{"value":1}},"ingredient":[{"strength":{"numerator":{"value":1}}}]}`,
		`{"resourceType":"ExplanationOfBenefit","id":"e","use":"claim","payment":{"date":"2026-01-01"},"meta":{"profile":["` + c4bbBenefit + `Oral-Basis"]}}`,
		`{"resourceType":"Coverage","id":"c","status":"active"}`,
	} {
		require.Equal(t, line, string(basisOf(t, []byte(line))))
	}
}

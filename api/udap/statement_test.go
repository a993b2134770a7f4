package udap

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/pki"
)

func TestStatementIsTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, err := pki.NewKey("RS256")
	require.NoError(t, err)
	rsa, err := b.sub.Issue(pki.Request{URIs: []string{"urn:x:other", issuer}, Key: key})
	require.NoError(t, err)
	for _, id := range []*pki.Identity{b.client(t), rsa} {
		text, err := id.Sign(claims(nil))
		require.NoError(t, err)
		s, err := ParseStatement(text, audience, testNow, skew)
		require.NoError(t, err)
		require.Equal(t, []any{issuer, "1", "Example", "system/*.rs", false}, []any{s.Issuer, s.JTI, s.Name, s.Scope, s.Cancel})
		require.Equal(t, []string{"mailto:ops@client.example.org"}, s.Contacts)
		require.NoError(t, b.open(t).Verify(s.Chain, "urn:example:one", testNow))
	}
	text, err := b.client(t).Sign(claims(func(c map[string]any) {
		c["grant_types"] = []string{}
		delete(c, "scope")
		delete(c, "client_name")
	}))
	require.NoError(t, err)
	s, err := ParseStatement(text, audience, testNow, skew)
	require.NoError(t, err)
	require.True(t, s.Cancel)
}

func TestB2B(t *testing.T) {
	t.Parallel()
	const treat = purposeSystem + "TREAT"
	object := func(change func(map[string]any)) json.RawMessage {
		m := map[string]any{"version": "1", "organization_id": "https://client.example.org/org", "purpose_of_use": []string{treat}}
		if change != nil {
			change(m)
		}
		raw, err := json.Marshal(m)
		require.NoError(t, err)
		return raw
	}
	put := func(name string, value any) func(map[string]any) { return func(m map[string]any) { m[name] = value } }
	drop := func(name string) func(map[string]any) { return func(m map[string]any) { delete(m, name) } }

	full := object(func(m map[string]any) {
		m["subject_name"], m["subject_id"], m["subject_role"] = "Dr Example", "1234567893", "http://nucc.org/provider-taxonomy#207R00000X"
		m["organization_name"] = "Example"
		m["consent_policy"], m["consent_reference"] = []string{"urn:oid:1.2.3"}, []string{"https://client.example.org/fhir/Consent/1"}
	})
	b, err := ParseB2B(full)
	require.NoError(t, err)
	again, err := json.Marshal(b)
	require.NoError(t, err)
	require.JSONEq(t, string(full), string(again), "it is repeated as it is")

	tests := []struct {
		name string
		raw  json.RawMessage
	}{
		{"absent", nil},
		{"null", json.RawMessage("null")},
		{"a string", json.RawMessage(`"1"`)},
		{"an array", json.RawMessage(`[]`)},
		{"no version", object(drop("version"))},
		{"another version", object(put("version", "2"))},
		{"version as a number", object(put("version", 1))},
		{"no organization_id", object(drop("organization_id"))},
		{"organization_id empty", object(put("organization_id", ""))},
		{"organization_id no URI", object(put("organization_id", "Example"))},
		{"organization_id a list", object(put("organization_id", []string{"https://a.example"}))},
		{"organization_id too long", object(put("organization_id", "https://a.example/"+strings.Repeat("x", maxURI)))},
		{"no purpose", object(drop("purpose_of_use"))},
		{"purposes empty", object(put("purpose_of_use", []string{}))},
		{"purpose null", object(put("purpose_of_use", nil))},
		{"purpose a string", object(put("purpose_of_use", treat))},
		{"purpose without its system", object(put("purpose_of_use", []string{"TREAT"}))},
		{"purpose of another system", object(put("purpose_of_use", []string{"urn:oid:1.2.3#TREAT"}))},
		{"purpose without a code", object(put("purpose_of_use", []string{purposeSystem}))},
		{"purpose with markup", object(put("purpose_of_use", []string{treat + "<x>"}))},
		{"purposes too many", object(put("purpose_of_use", strings.Split(strings.Repeat(treat+",", maxPurposes)+treat, ",")))},
		{"subject_id a number", object(put("subject_id", 1234567893))},
		{"subject_id with a line break", object(put("subject_id", "1\n2"))},
		{"a member nobody knows", object(put("subject_secret", "x"))},
		{"a member in another case", object(put("Subject_ID", "1234567893"))},
		{"consent_policy no list", object(put("consent_policy", "urn:oid:1.2.3"))},
		{"consent_policy no URI", object(put("consent_policy", []string{"yes"}))},
		{"a consent without a policy", object(put("consent_reference", []string{"https://a.example/Consent/1"}))},
	}
	for _, tt := range tests {
		_, err := ParseB2B(tt.raw)
		require.ErrorIs(t, err, errB2B, tt.name)
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	for id, want := range map[string][2]string{
		"1234567893": {"1234567893", ""},
		"urn:oid:2.16.840.1.113883.4.6#1234567893": {"1234567893", ""},
		"urn:oid:2.16.840.1.113883.4.6#x":          {"x", ""},
		"0190f1c8-0000-7000-8000-000000000001":     {"", "0190f1c8-0000-7000-8000-000000000001"},
		"Group/0190f1c8":                           {"", "0190f1c8"},
		"12345":                                    {"", "12345"},
	} {
		npi, group := Subject(id)
		require.Equal(t, want, [2]string{npi, group}, id)
	}
}

func FuzzParseStatement(f *testing.F) {
	b := setup(f)
	id := b.client(f)
	good, err := id.Sign(claims(nil))
	require.NoError(f, err)
	f.Add(good)
	f.Add("")
	f.Add("..")
	parts := strings.Split(good, ".")
	f.Add(parts[0] + ".e30." + parts[2])
	f.Add("eyJhbGciOiJFUzI1NiIsIng1YyI6W119.e30.AA")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStatement(text, audience, testNow, skew)
		if err != nil {
			require.Nil(t, s)
			return
		}
		require.Equal(t, issuer, s.Issuer, "nobody else can sign")
		require.False(t, s.Expires.After(testNow.Add(MaxStatementLife+skew)))
	})
}

func FuzzParseB2B(f *testing.F) {
	f.Add([]byte(`{"version":"1","organization_id":"https://a.example","purpose_of_use":["urn:oid:2.16.840.1.113883.5.8#TREAT"]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := ParseB2B(raw)
		if err != nil {
			return
		}
		text, err := json.Marshal(b)
		require.NoError(t, err)
		again, err := ParseB2B(text)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzParseX5C(f *testing.F) {
	raw, err := json.Marshal(setup(f).client(f).X5C())
	require.NoError(f, err)
	f.Add(raw)
	f.Add([]byte(`["AA=="]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseX5C(raw)
		if err != nil {
			require.Nil(t, c)
			return
		}
		require.NotNil(t, c.Leaf)
		_ = c.usableLeaf()
		_ = c.Names(issuer)
	})
}

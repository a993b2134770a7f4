package bulk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/server"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/worker/boot"
)

const matchPath = "/fhir/Group/$bulk-member-match"

// The parts of a MemberBundle.
const (
	patient  = `{"resourceType":"Patient","id":"p1","name":[{"family":"Zaphod","given":["Beeble"]}],"birthDate":"1970-01-01"}`
	coverage = `{"resourceType":"Coverage","id":"c1","status":"active","subscriberId":"M-1"}`
	consent  = `{"resourceType":"Consent","id":"k1","status":"active","patient":{"reference":"Patient/p1"}}`
)

func part(name, resource string) string {
	return fmt.Sprintf(`{"name":%q,"resource":%s}`, name, resource)
}

func memberBundle(parts ...string) string {
	return `{"name":"MemberBundle","part":[` + strings.Join(parts, ",") + `]}`
}

func parameters(bundles ...string) string {
	return `{"resourceType":"Parameters","parameter":[` + strings.Join(bundles, ",") + `]}`
}

var (
	three  = []string{part("MemberPatient", patient), part("CoverageToMatch", coverage), part("Consent", consent)}
	member = memberBundle(three...)
)

func startPayer(t *testing.T, change func(*boot.Process, *server.Config)) *apitest.Caller {
	t.Helper()
	return apitest.New(t, change).Client(t, "payer", models.ClientPayer, "")
}

// nothingLeft checks that a refused request has left neither job nor file, finished or not.
func nothingLeft(t *testing.T, c *apitest.Caller) {
	t.Helper()
	n, err := c.Store.DB.NewSelect().Table("jobs").Count(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "jobs")
	require.Empty(t, c.Scratch(t), "files")
}

func TestMatchRefuses(t *testing.T) {
	t.Parallel()
	c := startPayer(t, func(_ *boot.Process, cfg *server.Config) { cfg.MaxMembers = 3 })
	const (
		secret = "Zaphod" // what is sent must never come back
		first  = "Parameters.parameter[0]"
	)
	deep := func(n int, open, closing string) string {
		return strings.Repeat(open, n) + "1" + strings.Repeat(closing, n)
	}
	without := func(i int) string {
		return memberBundle(append(append([]string{}, three[:i]...), three[i+1:]...)...)
	}
	twice := func(i int) string { return memberBundle(append(append([]string{}, three...), three[i])...) }
	with := func(i int, p string) string {
		parts := append([]string{}, three...)
		parts[i] = p
		return memberBundle(parts...)
	}
	patientWith := func(element string) string {
		return with(0, part("MemberPatient", `{"resourceType":"Patient","id":"p1",`+element+`}`))
	}
	big := func(n int) string { return strings.Repeat("x", n) }

	tests := []struct {
		name   string
		body   string
		status int
		at     string
	}{
		// Not JSON: 400.
		{"empty", "", 400, ""},
		{"blank", " \n\t ", 400, ""},
		{"text", "hello", 400, "Parameters"},
		{"XML", "<Parameters/>", 400, "Parameters"},
		{"cut in the first name", `{"resou`, 400, ""},
		{"cut behind a name", `{"resourceType"`, 400, ""},
		{"cut behind a colon", `{"resourceType":`, 400, ""},
		{"cut in a MemberBundle", parameters(member)[:200], 400, ""},
		{"cut behind a MemberBundle", `{"resourceType":"Parameters","parameter":[` + member, 400, ""},
		{"cut behind the list", `{"resourceType":"Parameters","parameter":[` + member + `]`, 400, ""},
		{"comma at the end of the list", parameters(member + ","), 400, ""},
		{"comma at the end of the object", `{"resourceType":"Parameters","parameter":[` + member + `],}`, 400, ""},
		{"comma at the start of the list", parameters("," + member), 400, ""},
		{"two commas", parameters(member + ",," + member), 400, ""},
		{"no comma", parameters(member + member), 400, ""},
		{"no comma between members", `{"resourceType":"Parameters" "parameter":[` + member + `]}`, 400, ""},
		{"no colon", `{"resourceType" "Parameters"}`, 400, ""},
		{"name without quotes", `{resourceType:"Parameters"}`, 400, ""},
		{"single quotes", `{'resourceType':'Parameters'}`, 400, ""},
		{"a second document", parameters(member) + parameters(member), 400, ""},
		{"rubbish behind", parameters(member) + " x", 400, ""},
		{"a NUL behind", parameters(member) + "\x00", 400, ""},
		{"wrong bracket", `{"resourceType":"Parameters","parameter":[` + member + `}}`, 400, ""},
		{"crossed brackets", parameters(`{"name":"MemberBundle","part":[}]`), 400, first},
		{"a comment", `{/* hi */"resourceType":"Parameters"}`, 400, ""},
		{"byte order mark", "\ufeff" + parameters(member), 400, "Parameters"},
		{"UTF-16", "{\x00\"\x00", 400, ""},
		{"NaN", parameters(patientWith(`"multipleBirthInteger":NaN`)), 400, first},
		{"leading zero", parameters(patientWith(`"multipleBirthInteger":01`)), 400, first},
		{"bare word", parameters(patientWith(`"active":True`)), 400, first},
		{"line break in a string", parameters(patientWith("\"gender\":\"ma\nle\"")), 400, first},
		{"bad escape", parameters(patientWith(`"gender":"\x41"`)), 400, first},
		{"invalid UTF-8 in a value", parameters(patientWith("\"gender\":\"\xff\"")), 400, first},
		{"invalid UTF-8 in a name", parameters(patientWith("\"\xc3\x28\":1")), 400, first},
		{"overlong UTF-8", parameters(patientWith("\"gender\":\"\xc0\xaf\"")), 400, first},
		{"half a surrogate pair", parameters(patientWith(`"gender":"\ud800"`)), 400, first},
		{"invalid UTF-8 beside the list", "{\"id\":\"\xff\",\"resourceType\":\"Parameters\"}", 400, "Parameters"},

		// JSON of another shape: 422 for all of it.
		{"null", "null", 422, "Parameters"},
		{"a number", "12", 422, "Parameters"},
		{"a string", `"Parameters"`, 422, "Parameters"},
		{"a list", `[` + parameters(member) + `]`, 422, "Parameters"},
		{"an empty object", `{}`, 422, "Parameters"},
		{"a Bundle", `{"resourceType":"Bundle","type":"batch","entry":[]}`, 422, "Parameters"},
		{"a Patient", patient, 422, "Parameters"},
		{"type in lower case", `{"resourceType":"parameters","parameter":[` + member + `]}`, 422, "Parameters"},
		{"type null", `{"resourceType":null,"parameter":[` + member + `]}`, 422, "Parameters"},
		{"type a list", `{"resourceType":["Parameters"],"parameter":[` + member + `]}`, 422, "Parameters"},
		{"no type", `{"parameter":[` + member + `]}`, 422, "Parameters"},
		{"type under a name in another case", `{"ResourceType":"Parameters","parameter":[` + member + `]}`, 422, "Parameters"},
		{"another type behind", `{"parameter":[` + member + `],"resourceType":"Bundle"}`, 422, "Parameters"},
		{"no list", `{"resourceType":"Parameters"}`, 422, "Parameters.parameter"},
		{"empty list", parameters(), 422, "Parameters.parameter"},
		{"list null", `{"resourceType":"Parameters","parameter":null}`, 422, "Parameters.parameter"},
		{"list an object", `{"resourceType":"Parameters","parameter":` + member + `}`, 422, "Parameters.parameter"},
		{"list under a name in another case", `{"resourceType":"Parameters","Parameter":[` + member + `]}`, 422, "Parameters.parameter"},
		{"list twice", `{"resourceType":"Parameters","parameter":[` + member + `],"parameter":[` + member + `]}`, 422, "Parameters"},
		{"type twice", `{"resourceType":"Parameters","resourceType":"Parameters","parameter":[` + member + `]}`, 422, "Parameters"},
		{"list twice, in two cases", `{"resourceType":"Parameters","PARAMETER":[],"parameter":[` + member + `]}`, 422, "Parameters"},
		{"escaped name", `{"resourceTyp\u0065":"Parameters","parameter":[` + member + `]}`, 422, "Parameters"},
		{"element null", parameters("null"), 422, first},
		{"element a string", parameters(`"MemberBundle"`), 422, first},
		{"element a list", parameters(`[` + member + `]`), 422, first},
		{"second element bad", parameters(member, "7"), 422, "Parameters.parameter[1]"},
		{"no name", parameters(`{"part":[]}`), 422, first + ".name"},
		{"name null", parameters(`{"name":null,"part":[]}`), 422, first + ".name"},
		{"name a number", parameters(`{"name":1}`), 422, first + ".name"},
		{"misspelt name", parameters(strings.Replace(member, "MemberBundle", "MemberBundel", 1)), 422, first + ".name"},
		{"the single-member form", parameters(three...), 422, first + ".name"},
		{"only a value", parameters(`{"name":"note","valueString":"Zaphod"}`), 422, "Parameters.parameter"},
		{"no parts", parameters(`{"name":"MemberBundle"}`), 422, first},
		{"parts null", parameters(`{"name":"MemberBundle","part":null}`), 422, first + ".part"},
		{"parts empty", parameters(memberBundle()), 422, first},
		{"parts an object", parameters(`{"name":"MemberBundle","part":{}}`), 422, first + ".part"},
		{"part a string", parameters(with(1, `"Consent"`)), 422, first + ".part[1]"},
		{"part without a name", parameters(with(1, `{"resource":`+coverage+`}`)), 422, first + ".part[1].name"},
		{"no MemberPatient", parameters(without(0)), 422, first},
		{"no CoverageToMatch", parameters(without(1)), 422, first},
		{"no Consent", parameters(without(2)), 422, first},
		{"no Consent in the second", parameters(member, without(2)), 422, "Parameters.parameter[1]"},
		{"two MemberPatients", parameters(twice(0)), 422, first + ".part[3]"},
		{"two CoverageToMatch", parameters(twice(1)), 422, first + ".part[3]"},
		{"two Consents", parameters(twice(2)), 422, first + ".part[3]"},
		{"two CoverageToLink", parameters(memberBundle(append(append([]string{}, three...), part("CoverageToLink", coverage), part("CoverageToLink", coverage))...)), 422, first + ".part[4]"},
		{"an Observation as MemberPatient", parameters(with(0, part("MemberPatient", `{"resourceType":"Observation"}`))), 422, first + ".part[0].resource"},
		{"a Patient as Consent", parameters(with(2, part("Consent", patient))), 422, first + ".part[2].resource"},
		{"resource null", parameters(with(0, part("MemberPatient", "null"))), 422, first + ".part[0].resource"},
		{"resource a string", parameters(with(0, part("MemberPatient", `"Patient"`))), 422, first + ".part[0].resource"},
		{"resource a list", parameters(with(0, part("MemberPatient", `[`+patient+`]`))), 422, first + ".part[0].resource"},
		{"no resource", parameters(with(0, `{"name":"MemberPatient"}`)), 422, first + ".part[0].resource"},
		{"value in place of a resource", parameters(with(0, `{"name":"MemberPatient","valueString":"Zaphod"}`)), 422, first + ".part[0].resource"},
		{"resource under a name in another case", parameters(with(0, `{"name":"MemberPatient","Resource":`+patient+`}`)), 422, first + ".part[0].resource"},
		{"resource without a type", parameters(with(0, part("MemberPatient", `{"id":"p1"}`))), 422, first + ".part[0].resource"},
		{"type of the resource in another case", parameters(with(0, part("MemberPatient", `{"ResourceType":"Patient"}`))), 422, first + ".part[0].resource"},

		// One meaning only.
		{"name twice", parameters(`{"name":"note","name":"MemberBundle","part":[]}`), 422, first},
		{"resource twice", parameters(with(0, `{"name":"MemberPatient","resource":`+patient+`,"resource":`+patient+`}`)), 422, first},
		{"resource twice, in two cases", parameters(with(0, `{"name":"MemberPatient","resource":`+patient+`,"RESOURCE":`+patient+`}`)), 422, first},
		{"part name twice", parameters(with(0, `{"name":"MemberPatient","name":"Consent","resource":`+patient+`}`)), 422, first},
		{"birth date twice", parameters(patientWith(`"birthDate":"1970-01-01","birthDate":"1971-01-01"`)), 422, first},
		{"birth date twice, in two cases", parameters(patientWith(`"birthDate":"1970-01-01","birthdate":"1971-01-01"`)), 422, first},
		{"birth date twice, with a letter that folds", parameters(patientWith(`"lin` + "\u212a" + `":1,"link":[]`)), 422, first},
		{"a name twice deep inside", parameters(with(2, part("Consent", `{"resourceType":"Consent","provision":{"provision":[{"type":"permit","type":"deny"}]}}`))), 422, first},
		{"a name twice among many", parameters(patientWith(`"extension":[{` + manyMembers(300) + `,"m7":1}]`)), 422, first},
		{"an escaped name inside", parameters(patientWith(`"birthD\u0061te":"1970-01-01"`)), 422, first},
		{"objects without end", parameters(patientWith(`"extension":` + deep(100, `{"a":`, `}`))), 422, first},
		{"lists without end", parameters(patientWith(`"extension":` + deep(100_000, `[`, `]`))), 422, first},
		{"lists beside the list", `{"x":` + deep(100_000, `[`, `]`) + `,"resourceType":"Parameters"}`, 422, "Parameters"},
		{"lists instead of the document", deep(100_000, `[`, `]`), 422, "Parameters"},
		{"too many elements", `{` + manyMembers(300) + `,"resourceType":"Parameters"}`, 422, "Parameters"},

		// Too much: 413.
		{"too many members", parameters(member, member, member, member), 413, "Parameters.parameter[3]"},
		{"a MemberBundle too large", parameters(patientWith(`"language":"` + big(5<<20) + `"`)), 413, first},
		{"a MemberBundle too large to read", parameters(patientWith(`"language":"` + big(9<<20) + `"`)), 413, first},
		{"an element too large", `{"language":"` + big(2<<20) + `","resourceType":"Parameters"}`, 413, "Parameters"},
		{"a name too large", `{"` + big(2<<20) + `":1,"resourceType":"Parameters"}`, 413, "Parameters"},
	}
	require.GreaterOrEqual(t, len(tests), 100)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := c.Do(t, http.MethodPost, matchPath, tt.body, apitest.Async, apitest.FHIR, apitest.JSON)
			require.Equal(t, tt.at, resp.Refused(t, tt.status).At(), resp.Text)
			require.NotContains(t, resp.Text, secret)
			require.Less(t, len(resp.Text), 500)
			nothingLeft(t, c)
		})
	}
	require.NotContains(t, c.Log(), secret)
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":%d`, i, i)
	}
	return b.String()[1:]
}

func TestMatchRefusesBeforeReading(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	c.Register(t, "provider", models.ClientProvider)
	noScope := c.Login(t, "payer", "system/Patient.rs")
	_, err := c.Store.UpsertClient(t.Context(), models.Client{
		ID: "nobody", Name: "n", Kind: models.ClientPayer, Scopes: []string{apitest.MatchScope}, JWKSURL: "https://a.example/k", Active: true,
	})
	require.NoError(t, err)
	body := parameters(member)

	tests := []struct {
		name    string
		who     *apitest.Caller
		method  string
		headers []string
		status  int
		at      string
		says    string
	}{
		{"no Prefer", c, "POST", []string{apitest.FHIR, apitest.JSON}, 400, "http.Prefer", "Prefer: respond-async"},
		{"another Prefer", c, "POST", []string{"Prefer: handling=lenient", apitest.FHIR, apitest.JSON}, 400, "http.Prefer", "Prefer: respond-async"},
		{"no Accept", c, "POST", []string{apitest.Async, apitest.JSON}, 400, "http.Accept", "Accept: application/fhir+json"},
		{"XML only", c, "POST", []string{apitest.Async, "Accept: application/fhir+xml", apitest.JSON}, 400, "http.Accept", "Accept: application/fhir+json"},
		{"JSON refused", c, "POST", []string{apitest.Async, "Accept: application/fhir+json;q=0", apitest.JSON}, 400, "http.Accept", ""},
		{"no Content-Type", c, "POST", []string{apitest.Async, apitest.FHIR}, 415, "http.Content-Type", "application/fhir+json"},
		{"XML body", c, "POST", []string{apitest.Async, apitest.FHIR, "Content-Type: application/fhir+xml"}, 415, "http.Content-Type", ""},
		{"NDJSON body", c, "POST", []string{apitest.Async, apitest.FHIR, "Content-Type: application/fhir+ndjson"}, 415, "http.Content-Type", ""},
		{"UTF-16 body", c, "POST", []string{apitest.Async, apitest.FHIR, "Content-Type: application/fhir+json; charset=utf-16"}, 415, "http.Content-Type", ""},
		{"gzip body", c, "POST", []string{apitest.Async, apitest.FHIR, apitest.JSON, "Content-Encoding: gzip"}, 415, "http.Content-Encoding", ""},
		{"no operation scope", noScope, "POST", []string{apitest.Async, apitest.FHIR, apitest.JSON}, 403, "", ""},
		{"GET", c, "GET", []string{apitest.Async, apitest.FHIR}, 405, "", "POST"},
		{"PUT", c, "PUT", []string{apitest.Async, apitest.FHIR, apitest.JSON}, 405, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.who.Do(t, tt.method, matchPath, body, tt.headers...).Refused(t, tt.status)
			require.Equal(t, tt.at, o.At())
			require.Contains(t, o.Issue[0].Diagnostics, tt.says)
			nothingLeft(t, c)
		})
	}
	resp := c.API.Do(t, "POST", matchPath, body, apitest.Async, apitest.FHIR, apitest.JSON)
	resp.Refused(t, 401)
	require.Equal(t, `Bearer realm="fhir"`, resp.Header.Get("WWW-Authenticate"))
	nothingLeft(t, c)
}

// What is stored is what was sent, but for blanks between tokens.
func TestMatchStoresWhatWasSent(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	odd := `{
		"resourceType" : "Patient", "id":"p1",
		"name":[{"family":"O'Hara & <S\u00f6hne> \u2028 \/ 𝒳","given":["Añá"]}],
		"extension":[{"url":"urn:x","valueDecimal":1.10},{"url":"urn:y","valueDecimal":12345678901234567890.000100},{"url":"urn:z","valueDecimal":1E+2}],
		"contained":[{"resourceType":"Organization","id":"o1"}],
		"unknown":{"b":1,"a":[null,true,false,-0.0,[],{}]}
	}`
	link := part("CoverageToLink", `{"resourceType":"Coverage","id":"link"}`)
	sent := parameters(`{"name":"note","valueString":"let be"}`,
		memberBundle(part("MemberPatient", odd), three[1], link, three[2], part("SomethingElse", patient), `{"name":"more","valueInteger":1}`),
		strings.Replace(member, "MemberBundle", "MembersToMatch", 1),
		memberBundle(three[2], three[1], three[0]))
	sent = strings.Replace(sent, `{"resourceType"`, `{"id":"x","meta":{"profile":["urn:p"]},"resourceType"`, 1)
	job := c.KickOff(t, http.MethodPost, matchPath, sent)

	var params models.MatchParams
	require.NoError(t, json.Unmarshal(job.Params, &params))
	require.Equal(t, 3, params.Members)
	require.Empty(t, params.Foreign)
	require.Equal(t, []string{apitest.OrganizationID("payer")}, params.Organizations)
	require.Equal(t, []string{params.BlobKey}, c.Blobs(t))
	var tight bytes.Buffer
	require.NoError(t, json.Compact(&tight, []byte(odd)))
	plain := `{"patient":` + patient + `,"coverage":` + coverage + `,"consent":` + consent + "}\n"
	want := `{"patient":` + tight.String() + `,"coverage":` + coverage + `,"link":{"resourceType":"Coverage","id":"link"},"consent":` + consent + "}\n" + plain + plain
	require.Equal(t, want, readBlob(t, c, params.BlobKey))

	slices, err := c.Store.Slices(t.Context(), job.ID)
	require.NoError(t, err)
	require.Len(t, slices, 1)
	require.Equal(t, 3, slices[0].Members)
	require.EqualValues(t, len(want), slices[0].Length)
}

func readBlob(t *testing.T, c *apitest.Caller, key string) string {
	t.Helper()
	body, err := c.Files.ReadRange(t.Context(), key, 0, -1)
	require.NoError(t, err)
	defer body.Close()
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	return string(text)
}

// A large request is cut into slices whose bounds are lines of the stored form.
func TestMatchSlices(t *testing.T) {
	t.Parallel()
	c := startPayer(t, func(_ *boot.Process, cfg *server.Config) { cfg.MaxMembers = 1201 })
	bundles := make([]string, 1201)
	for i := range bundles {
		bundles[i] = strings.ReplaceAll(member, `"p1"`, `"p`+strconv.Itoa(i)+`"`)
	}
	job := c.KickOff(t, http.MethodPost, matchPath, parameters(bundles...))
	slices, err := c.Store.Slices(t.Context(), job.ID)
	require.NoError(t, err)
	require.Len(t, slices, 3)
	var params models.MatchParams
	require.NoError(t, json.Unmarshal(job.Params, &params))
	stored := readBlob(t, c, params.BlobKey)
	var at int64
	for i, want := range []int{500, 500, 201} {
		s := slices[i]
		require.Equal(t, []int{i, 500 * i, want}, []int{s.Slice, s.First, s.Members})
		require.Equal(t, at, s.Offset)
		text := stored[s.Offset : s.Offset+s.Length]
		require.Equal(t, want, strings.Count(text, "\n"))
		require.True(t, strings.HasSuffix(text, "\n"))
		at += s.Length
	}
	require.EqualValues(t, len(stored), at)
}

// A slice is held in memory, and its Consents go to the database at once: people with much to say are cut into more of them.
func TestMatchSlicesOfManyBytes(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	long := memberBundle(three[0], three[1], part("Consent", `{"resourceType":"Consent","language":"`+strings.Repeat("x", 3<<20)+`"}`))
	job := c.KickOff(t, http.MethodPost, matchPath, parameters(member, long, member, long, long, long, member, member, long))
	slices, err := c.Store.Slices(t.Context(), job.ID)
	require.NoError(t, err)
	var at int64
	var cut []int
	for i, s := range slices {
		require.Equal(t, []int64{int64(i), at}, []int64{int64(s.Slice), s.Offset})
		require.Less(t, s.Length, int64(8<<20))
		at += s.Length
		cut = append(cut, s.Members)
	}
	require.Equal(t, []int{4, 4, 1}, cut)
}

// Decision D-06: a Consent about another Patient of the same request.
func TestMatchNotesForeignConsents(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	about := func(id, reference string) string {
		return memberBundle(part("MemberPatient", `{"resourceType":"Patient","id":"`+id+`"}`), three[1],
			part("Consent", `{"resourceType":"Consent","patient":{"reference":"`+reference+`"}}`))
	}
	job := c.KickOff(t, http.MethodPost, matchPath, parameters(
		about("a", "Patient/a"), about("b", "Patient/a"), about("c", "Patient/unknown"), about("d", "#a"),
		about("e", "https://x.example/fhir/Patient/f"), about("f", "Patient/f/_history/1"), about("g", ""),
		about("h", "Patient/"+strings.Repeat("a", 100)), about("i", "urn:uuid:a"), about("j", "b"),
		// Ids that FHIR does not allow are ids all the same.
		about("member_1", "Patient/member_1"), about("member_2", "Patient/member_1"), about("member_3", "https://x.example/fhir/Patient/member_2/_history/2"),
		about(strings.Repeat("x", 100), "Patient/"+strings.Repeat("x", 100)), about("y", "Patient/"+strings.Repeat("x", 100)),
	))
	var params models.MatchParams
	require.NoError(t, json.Unmarshal(job.Params, &params))
	require.Equal(t, []int32{1, 3, 4, 8, 9, 11, 12, 14}, params.Foreign)
}

// The same people asked for on behalf of somebody else are another request: who asks decides what is answered.
func TestMatchForAnotherProvider(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	jobs := map[string]bool{c.KickOff(t, http.MethodPost, matchPath, parameters(member)).ID: true}
	for i, npi := range []string{"1982947230", "1679576722"} {
		_, err := c.Store.UpsertProvider(t.Context(), models.Provider{NPI: npi, Kind: models.ProviderIndividual, Active: true, InNetwork: true})
		require.NoError(t, err)
		job := c.LoginFor(t, "payer", npi).KickOff(t, http.MethodPost, matchPath, parameters(member))
		jobs[job.ID] = true
		require.Len(t, jobs, i+2)
		require.Contains(t, string(job.Params), npi)
	}
	client, err := c.Store.Client(t.Context(), "payer")
	require.NoError(t, err)
	client.OrganizationIDs = []string{"urn:another|1"}
	_, err = c.Store.UpsertClient(t.Context(), client)
	require.NoError(t, err)
	other := c.API.Login(t, "payer", "").KickOff(t, http.MethodPost, matchPath, parameters(member))
	require.False(t, jobs[other.ID], "another organisation")
	require.Contains(t, string(other.Params), "urn:another|1")
}

func TestMatchSameRequest(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	first := c.KickOff(t, http.MethodPost, matchPath, parameters(member))
	// The same again, blanks apart: the job that runs, and no second copy.
	again := c.KickOff(t, http.MethodPost, matchPath, strings.ReplaceAll(parameters(member), ",", " ,\n "))
	require.Equal(t, first.ID, again.ID)
	require.Len(t, c.Blobs(t), 1)
	// Somebody else's same request is a job of its own.
	other := c.API.Client(t, "other", models.ClientPayer, "")
	require.NotEqual(t, first.ID, other.KickOff(t, http.MethodPost, matchPath, parameters(member)).ID)
	// A key makes it a request of its own, and the same key the same.
	keyed := c.KickOff(t, http.MethodPost, matchPath, parameters(member), "Idempotency-Key: k\xff1")
	require.NotEqual(t, first.ID, keyed.ID)
	require.Equal(t, keyed.ID, c.KickOff(t, http.MethodPost, matchPath, parameters(member), "Idempotency-Key: k\xff1").ID)
	require.Len(t, c.Blobs(t), 3)
	// Another request under the same key is refused and leaves nothing.
	c.Do(t, http.MethodPost, matchPath, parameters(member, member), apitest.Async, apitest.FHIR, apitest.JSON, "Idempotency-Key: k\xff1").Refused(t, 409)
	require.Len(t, c.Blobs(t), 3)
	// Once deleted, the key is free.
	resp := c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+keyed.ID, "")
	require.Equal(t, http.StatusAccepted, resp.StatusCode)
	require.NotEqual(t, keyed.ID, c.KickOff(t, http.MethodPost, matchPath, parameters(member, member), "Idempotency-Key: k\xff1").ID)
}

func TestMatchOverTheLimit(t *testing.T) {
	t.Parallel()
	c := startPayer(t, func(_ *boot.Process, cfg *server.Config) { cfg.OpenJobs = 1; cfg.MaxBody = 4096 })
	c.KickOff(t, http.MethodPost, matchPath, parameters(member))
	resp := c.Do(t, http.MethodPost, matchPath, parameters(member, member), apitest.Async, apitest.FHIR, apitest.JSON)
	require.Equal(t, "throttled", resp.Refused(t, 429).Issue[0].Code)
	require.Equal(t, "30", resp.Header.Get("Retry-After"))
	require.Len(t, c.Blobs(t), 1)
	resp = c.Do(t, http.MethodPost, matchPath, strings.Repeat(" ", 5000)+parameters(member), apitest.Async, apitest.FHIR, apitest.JSON)
	require.Contains(t, resp.Refused(t, 413).Issue[0].Diagnostics, "4096")
	require.Len(t, c.Scratch(t), 1)
}

// A request whose run could not be started is completed by sending it again: its slices are there, and nothing is doubled.
func TestMatchAfterACrash(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	broken := apitest.New(t, func(p *boot.Process, _ *server.Config) {
		p.Store, p.Blob = a.Store, a.Files
		p.Temporal = brokenTemporal{p.Temporal}
	})
	a.Register(t, "payer", models.ClientPayer)
	c := broken.Login(t, "payer", "")
	resp := c.Do(t, http.MethodPost, matchPath, parameters(member), apitest.Async, apitest.FHIR, apitest.JSON)
	require.Equal(t, "transient", resp.Refused(t, 503).Issue[0].Code)
	require.Equal(t, "5", resp.Header.Get("Retry-After"))
	require.Empty(t, resp.Header.Get("Content-Location"))
	require.Contains(t, broken.Log(), errTemporal.Error(), "the cause is logged")
	require.NotContains(t, resp.Text, errTemporal.Error())

	job := a.Login(t, "payer", "").KickOff(t, http.MethodPost, matchPath, parameters(member))
	slices, err := a.Store.Slices(t.Context(), job.ID)
	require.NoError(t, err)
	require.Len(t, slices, 1)
	require.Len(t, a.Blobs(t), 1)
	run, err := a.Temporal.DescribeWorkflowExecution(t.Context(), "match-"+job.ID, "")
	require.NoError(t, err)
	require.Equal(t, "MemberMatch", run.GetWorkflowExecutionInfo().GetType().GetName())
	n, err := a.Store.DB.NewSelect().Table("jobs").Count(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

// A client that leaves in the middle leaves nothing behind.
func TestMatchBrokenOff(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	conn := beginMatch(t, c, 1<<20, parameters(member)[:300])
	require.Eventually(t, func() bool { return len(c.Scratch(t)) == 1 }, eventually, tick)
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return len(c.Scratch(t)) == 0 }, eventually, tick)
	nothingLeft(t, c)
}

// A declared length that does not come is no request.
func TestMatchShortBody(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	body := parameters(member)
	conn := beginMatch(t, c, len(body)+10, body)
	require.NoError(t, conn.CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(answer), "HTTP/1.1 400 "), string(answer))
	nothingLeft(t, c)
}

// beginMatch sends the head of a request and some of its body.
func beginMatch(t *testing.T, c *apitest.Caller, length int, body string) *net.TCPConn {
	t.Helper()
	u, err := url.Parse(c.Root)
	require.NoError(t, err)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(eventually)))
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n%s\r\n%s\r\nContent-Length: %d\r\n\r\n%s",
		matchPath, u.Host, c.Token, apitest.Async, apitest.FHIR, apitest.JSON, length, body)
	require.NoError(t, err)
	return conn.(*net.TCPConn)
}

// The guide's own requests are sound, but for those of the match for providers, which is another operation.
func TestMatchTakesTheGuidesExamples(t *testing.T) {
	t.Parallel()
	const dir = "../../../shared/spec/examples"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the guide's examples are not there")
	}
	c := startPayer(t, nil)
	for name, members := range map[string]int{
		"pdex-2.2.0/Parameters-payer-multi-member-match-in.json": 1,
		"assembled/bulk-member-match-request.2members.json":      2,
	} {
		body, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		var params models.MatchParams
		require.NoError(t, json.Unmarshal(c.KickOff(t, http.MethodPost, matchPath, string(body)).Params, &params))
		require.Equal(t, members, params.Members, name)
		require.Empty(t, params.Foreign, "D-06: Patient/1 is not in the request")
	}
	for _, name := range []string{"pdex-2.2.0/Parameters-payer-multi-member-match-out.json", "hrex-1.0.0/Parameters-member-match-in.json"} {
		body, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		c.Do(t, http.MethodPost, matchPath, string(body), apitest.Async, apitest.FHIR, apitest.JSON).Refused(t, 422)
	}
}

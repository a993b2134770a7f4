package bulk_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

type bundle struct {
	ResourceType string
	Type         string
	Total        int
	Link         []struct{ Relation, URL string }
	Entry        []struct {
		FullURL  string
		Resource json.RawMessage
		Search   struct{ Mode string }
	}
}

func (b bundle) link(relation string) string {
	for _, l := range b.Link {
		if l.Relation == relation {
			return l.URL
		}
	}
	return ""
}

func search(t *testing.T, c *apitest.Caller, path string, headers ...string) bundle {
	t.Helper()
	resp := c.Do(t, http.MethodGet, path, "", headers...)
	require.Equal(t, http.StatusOK, resp.StatusCode, c.Log())
	require.Equal(t, "application/fhir+json", resp.Header.Get("Content-Type"))
	var b bundle
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &b), resp.Text)
	require.Equal(t, "Bundle", b.ResourceType)
	require.Equal(t, "searchset", b.Type)
	return b
}

// found lists the ids in the order of the entries.
func (b bundle) found(t *testing.T) []string {
	t.Helper()
	ids := []string{}
	for _, e := range b.Entry {
		var g struct{ ID, ResourceType string }
		require.NoError(t, json.Unmarshal(e.Resource, &g))
		if e.Search.Mode == "match" {
			require.Equal(t, "Group", g.ResourceType)
			require.True(t, strings.HasSuffix(e.FullURL, "/fhir/Group/"+g.ID))
			ids = append(ids, g.ID)
		}
	}
	return ids
}

func TestReadGroup(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c, other := a.Client(t, "payer", models.ClientPayer, ""), a.Client(t, "other", models.ClientPayer, "")
	id := addGroup(t, c, nil)
	path := "/fhir/Group/" + id
	resp := c.Do(t, http.MethodGet, path, "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "application/fhir+json", resp.Header.Get("Content-Type"))
	require.JSONEq(t, `{"resourceType":"Group","id":"`+id+`","actual":true}`, resp.Text)
	require.Equal(t, `W/"1"`, resp.Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, c.Do(t, http.MethodGet, path, "", `If-None-Match: W/"1"`).StatusCode)
	require.Equal(t, http.StatusOK, c.Do(t, http.MethodHead, path, "").StatusCode)
	require.Equal(t, http.StatusOK, a.Login(t, "payer", "system/Group.r").Do(t, http.MethodGet, path, "").StatusCode)

	other.Do(t, http.MethodGet, path, "").Refused(t, 404)
	a.Login(t, "payer", "system/Patient.rs").Do(t, http.MethodGet, path, "").Refused(t, 403)
	c.Do(t, http.MethodGet, "/fhir/Group/"+addGroup(t, c, func(g *store.Group) { g.ExpiresAt = new(time.Now().Add(-time.Second)) }), "").Refused(t, 410)
	for _, bad := range []string{models.NewID(), "$unknown", "x", "%00", "%ff", "..%2F" + id, strings.ToUpper(id)} {
		c.Do(t, http.MethodGet, "/fhir/Group/"+bad, "").Refused(t, 404)
	}
	c.Do(t, http.MethodDelete, path, "").Refused(t, 405)
	c.Do(t, http.MethodGet, path+"/", "").Refused(t, 404)
	require.NoError(t, a.Files.Delete(t.Context(), "groups/"+id))
	c.Do(t, http.MethodGet, path, "").Refused(t, 503)
}

// GA-02 to GA-06.
func TestSearchGroups(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c, other := a.Client(t, "payer", models.ClientPayer, ""), a.Client(t, "other", models.ClientPayer, "")
	require.Empty(t, search(t, c, "/fhir/Group").Entry)
	var mine []string // newest first
	for range 3 {
		mine = slices.Insert(mine, 0, addGroup(t, c, nil))
	}
	addGroup(t, c, func(g *store.Group) { g.ExpiresAt = new(time.Now().Add(-time.Second)) })
	theirs := addGroup(t, other, nil)
	const codes = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMultiMemberMatchResultCS"

	for query, want := range map[string][]string{
		"":               mine,
		"_id=" + mine[1]: mine[1:2],
		"_id=" + mine[0] + "," + mine[2] + ",nonsense":                 {mine[0], mine[2]},
		"_id=" + mine[0] + "&_id=" + mine[2]:                           {},
		"_id=" + theirs:                                                {},
		"_id=nonsense":                                                 {},
		"identifier=urn:uuid:" + mine[1]:                               mine[1:2],
		"identifier=urn:ietf:rfc:3986|urn:uuid:" + mine[1]:             mine[1:2],
		"identifier=urn:ietf:rfc:3986%7Curn:uuid:" + mine[1]:           mine[1:2],
		"identifier=urn:other|urn:uuid:" + mine[1]:                     {},
		"identifier=" + mine[1]:                                        {},
		"identifier=urn:uuid:" + theirs:                                {},
		"code=match":                                                   mine,
		"code=" + codes + "|match":                                     mine,
		"code=" + codes + "|":                                          mine,
		"code=" + strings.Replace(codes, "Pdex", "PDex", 1) + "|match": mine,
		"code=nomatch,match":                                           mine,
		"code=nomatch":                                                 {},
		"code=|match":                                                  {},
		"code=urn:other|match":                                         {},
		"characteristic=match":                                         mine,
		"characteristic=match&code=nomatch":                            {},
		"characteristic-value-reference=Organization/payer":            {},
		"characteristic-value-reference:Organization=payer":            {},
		"characteristic-value-reference:identifier=" + url.QueryEscape(apitest.OrganizationID("payer")): mine,
		"characteristic-value-reference:identifier=" + url.QueryEscape(apitest.OrganizationID("other")): {},
		"_format=application/fhir+json&_count=50":                                                       mine,
		"_format=json": mine,
	} {
		b := search(t, c, "/fhir/Group?"+query)
		require.Equal(t, want, b.found(t), query)
		require.Equal(t, len(want), b.Total, query)
		require.Empty(t, b.link("next"), query)
		require.Equal(t, want, search(t, c, b.link("self")).found(t), "the self link finds the same: %s", query)
	}
	require.Equal(t, []string{theirs}, search(t, other, "/fhir/Group").found(t))
	a.Login(t, "payer", "system/Patient.rs").Do(t, http.MethodGet, "/fhir/Group", "").Refused(t, 403)
	a.Login(t, "payer", "system/Group.r").Do(t, http.MethodGet, "/fhir/Group", "").Refused(t, 403)
	require.Equal(t, http.StatusOK, c.Do(t, http.MethodHead, "/fhir/Group", "").StatusCode)
	c.Do(t, http.MethodGet, "/fhir/Group/", "").Refused(t, 404)

	for query, at := range map[string]string{
		"name=x": "name", "member=Patient/1": "member", "_sort=_id": "_sort", "code:not=match": "", "x%00y=1": "", "_id=": "_id", "code=": "code",
		"_count=-1": "_count", "_count=x": "_count", "_format=xml": "_format", "_after=x": "_after", "Zaphod 1970=1": "",
		"_id=" + strings.Repeat("x,", 200): "_id",
	} {
		resp := c.Do(t, http.MethodGet, "/fhir/Group?"+strings.ReplaceAll(query, " ", "%20"), "")
		require.Equal(t, at, resp.Refused(t, 400).At(), query)
		require.NotContains(t, resp.Text, "Zaphod")
	}
	c.Do(t, http.MethodGet, "/fhir/Group?_id=%zz", "").Refused(t, 400)

	// With leniency what is not supported is ignored, and told.
	b := search(t, c, "/fhir/Group?name=x&_id="+mine[2]+"&a-b=1", "Prefer: handling=lenient")
	require.Equal(t, mine[2:], b.found(t))
	require.NotContains(t, b.link("self"), "name")
	require.Len(t, b.Entry, 2)
	require.Equal(t, "outcome", b.Entry[1].Search.Mode)
	var o apitest.Outcome
	require.NoError(t, json.Unmarshal(b.Entry[1].Resource, &o))
	require.Len(t, o.Issue, 2)
	require.Equal(t, "name", o.At())
}

func TestSearchGroupsByPage(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, nil).Client(t, "payer", models.ClientPayer, "")
	var all []string
	for range 25 {
		all = slices.Insert(all, 0, addGroup(t, c, nil))
	}
	for _, count := range []int{1, 7, 24, 25, 26} {
		var seen []string
		pages := 0
		for next := fmt.Sprintf("/fhir/Group?code=match&_count=%d", count); next != ""; pages++ {
			b := search(t, c, next)
			require.Equal(t, 25, b.Total)
			require.LessOrEqual(t, len(b.Entry), count)
			seen = append(seen, b.found(t)...)
			next = b.link("next")
		}
		require.Equal(t, all, seen)
		require.Equal(t, (25+count-1)/count, pages, "no empty page at the end")
	}
	require.Len(t, search(t, c, "/fhir/Group").Entry, 10)
	b := search(t, c, "/fhir/Group?_count=0")
	require.Empty(t, b.Entry)
	require.Equal(t, 25, b.Total)
	require.Empty(t, b.link("next"))

	// A page that cannot be written to its end is cut off; one that cannot be begun is an error.
	require.NoError(t, c.Files.Delete(t.Context(), "groups/"+all[3]))
	_, err := c.Try(t.Context(), http.MethodGet, "/fhir/Group", http.NoBody, "Authorization: Bearer "+c.Token)
	require.Error(t, err)
	c.Do(t, http.MethodGet, "/fhir/Group?_id="+all[3], "").Refused(t, 503)
}

func TestGroupHistory(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c, other := a.Client(t, "payer", models.ClientPayer, ""), a.Client(t, "other", models.ClientPayer, "")
	id := addGroup(t, c, nil)
	path := "/fhir/Group/" + id
	group := c.Do(t, http.MethodGet, path, "").Text
	require.Equal(t, group, c.Do(t, http.MethodGet, path+"/_history/1", "").Text)
	resp := c.Do(t, http.MethodGet, path+"/_history", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var b struct {
		ResourceType, Type string
		Total              int
		Entry              []struct {
			FullURL  string
			Request  struct{ Method, URL string }
			Response struct{ Status, ETag, LastModified string }
			Resource json.RawMessage
		}
	}
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &b), resp.Text)
	require.Equal(t, []any{"Bundle", "history", 1}, []any{b.ResourceType, b.Type, b.Total})
	require.Len(t, b.Entry, 1)
	require.JSONEq(t, group, string(b.Entry[0].Resource))
	require.Equal(t, []string{a.Base + "/Group/" + id, "POST", "Group", "201", `W/"1"`}, []string{
		b.Entry[0].FullURL, b.Entry[0].Request.Method, b.Entry[0].Request.URL, b.Entry[0].Response.Status, b.Entry[0].Response.ETag,
	})
	_, err := time.Parse(time.RFC3339Nano, b.Entry[0].Response.LastModified)
	require.NoError(t, err)

	c.Do(t, http.MethodGet, path+"/_history/2", "").Refused(t, 404)
	c.Do(t, http.MethodGet, path+"/_history?_count=1", "").Refused(t, 400)
	for _, below := range []string{"/_history", "/_history/1", "/_history/2"} {
		foreign := other.Do(t, http.MethodGet, path+below, "")
		foreign.Refused(t, 404)
		require.Equal(t, other.Do(t, http.MethodGet, "/fhir/Group/"+models.NewID()+below, "").Text, foreign.Text)
		a.Do(t, http.MethodGet, path+below, "").Refused(t, 401)
		a.Login(t, "payer", "system/Patient.rs").Do(t, http.MethodGet, path+below, "").Refused(t, 403)
	}
}

// A token whose subject is a Group is good for that Group and what was exported of it, and for nothing else.
func TestTokenForOneGroup(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	all := a.Client(t, "payer", models.ClientPayer, "")
	one, two := addGroup(t, all, nil), addGroup(t, all, nil)
	_, err := a.Store.Pool.Exec(t.Context(), `UPDATE clients SET kind = 'backend' WHERE id = 'payer'`)
	require.NoError(t, err)
	jobOne, jobTwo := all.KickOff(t, http.MethodGet, "/fhir/Group/"+one+"/$export", ""), all.KickOff(t, http.MethodGet, "/fhir/Group/"+two+"/$export", "")
	system := all.KickOff(t, http.MethodGet, "/fhir/$export", "")
	c := a.LoginFor(t, "payer", one)

	require.Equal(t, http.StatusOK, c.Do(t, http.MethodGet, "/fhir/Group/"+one, "").StatusCode)
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodGet, "/fhir/bulk-status/"+jobOne.ID, "").StatusCode)
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodGet, "/fhir/Group/"+one+"/$davinci-data-export", "", apitest.Async, apitest.FHIR).StatusCode)
	require.Equal(t, []string{one}, search(t, c, "/fhir/Group").found(t))
	require.Equal(t, 1, search(t, c, "/fhir/Group").Total)

	unknown := c.Do(t, http.MethodGet, "/fhir/Group/"+models.NewID(), "")
	for _, path := range []string{"/fhir/Group/" + two, "/fhir/Group/" + two + "/_history", "/fhir/Group/" + two + "/_history/1"} {
		resp := c.Do(t, http.MethodGet, path, "")
		resp.Refused(t, 404)
		require.Equal(t, unknown.Text, resp.Text)
	}
	for _, path := range []string{"/fhir/Group/" + two + "/$export", "/fhir/Group/" + two + "/$davinci-data-export"} {
		c.Do(t, http.MethodGet, path, "", apitest.Async, apitest.FHIR).Refused(t, 404)
	}
	for _, job := range []*models.Job{jobTwo, system} {
		c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID, "").Refused(t, 404)
		c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+job.ID, "").Refused(t, 404)
		c.Do(t, http.MethodGet, "/fhir/bulk-files/"+job.ID+"/0.Patient.ndjson", "").Refused(t, 404)
	}
	for _, path := range []string{"/fhir/$export", "/fhir/Patient/$export"} {
		c.Do(t, http.MethodGet, path, "", apitest.Async, apitest.FHIR).Refused(t, 403)
	}
	c.Do(t, http.MethodPost, "/fhir/Group/$bulk-member-match", "{}", apitest.Async, apitest.FHIR, apitest.JSON).Refused(t, 403)
}

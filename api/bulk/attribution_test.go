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

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/activities"
	"pdexbulk/api/server"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
	"pdexbulk/worker/boot"
)

const (
	listClinic = "1982947230"
	listDoctor = "1234567893"
	elsewhere  = "1679576722" // a doctor of another clinic
	addScope   = "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/member-add"
	dropScope  = "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/member-remove"
	listAll    = "system/*.rs " + addScope + " " + dropScope
)

// listBench is an api with members p0 to p5, a clinic with a doctor who treats p0 to p3, and a list of the clinic's.
type listBench struct {
	*apitest.API
	t      *testing.T
	clinic *apitest.Caller
	id     string
}

func newListBench(t *testing.T, status models.AttributionStatus) *listBench {
	t.Helper()
	a := apitest.New(t, func(p *boot.Process, _ *server.Config) {
		p.Config.Holder = boot.HolderConfig{Name: "Old Health Plan", IDs: []string{"urn:payers|us"}}
	})
	b := &listBench{API: a, t: t}
	for _, p := range []models.Provider{
		{NPI: listClinic, Kind: models.ProviderOrganization, Active: true, InNetwork: true, Taxonomies: []string{"261QM2500X"}},
		{NPI: listDoctor, Kind: models.ProviderIndividual, Active: true, InNetwork: true, Taxonomies: []string{"207R00000X"}, Organizations: []string{listClinic}},
		{NPI: elsewhere, Kind: models.ProviderIndividual, Active: true, InNetwork: true, Taxonomies: []string{"207R00000X"}, Organizations: []string{"1245319599"}},
	} {
		_, err := a.Store.UpsertProvider(t.Context(), p)
		require.NoError(t, err)
	}
	for i := range 6 {
		p := fmt.Sprintf("p%d", i)
		_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO members (id, patient_id, present, updated_at) VALUES ($1, $2, true, now())`, models.MemberID(p), p)
		require.NoError(t, err)
		parts := activities.IndexParts(p, []byte(`{"resourceType":"Patient","id":"`+p+`"}`),
			[]byte(`{"resourceType":"Coverage","id":"c-`+p+`","status":"active","subscriberId":"FAMILY-7","beneficiary":{"reference":"Patient/`+p+`"},`+
				`"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}]},"value":"CARD-`+p+`"}]}`))
		err = a.Store.MergeMembers(t.Context(), []uuid.UUID{models.MemberID(p)}, time.Now(), func(*store.MergeTx) (*store.Merge, error) {
			return &store.Merge{Parts: parts}, nil
		}, nil)
		require.NoError(t, err)
		if i < 4 {
			b.relate(p, listDoctor)
		}
	}
	b.relate("p4", elsewhere)
	b.clinic = b.register("clinic", listClinic)
	b.id = b.list("clinic", status, `[{"patient":"p0","npi":"`+listDoctor+`"},{"card":"card-p1"}]`)
	return b
}

// register makes a client of a provider who may do anything with lists.
func (b *listBench) register(id, npi string) *apitest.Caller {
	b.t.Helper()
	b.Register(b.t, id, models.ClientProvider)
	c, err := b.Store.Client(b.t.Context(), id)
	require.NoError(b.t, err)
	c.OrganizationIDs, c.Scopes = []string{models.NPISystem + "|" + npi}, strings.Fields(listAll)
	_, err = b.Store.UpsertClient(b.t.Context(), c)
	require.NoError(b.t, err)
	return b.Login(b.t, id, listAll)
}

func (b *listBench) admin(status int, method, path, body string) map[string]any {
	b.t.Helper()
	resp := b.Do(b.t, method, path, body, "Authorization: Bearer "+apitest.AdminToken, "Content-Type: application/json")
	require.Equal(b.t, status, resp.StatusCode, resp.Text)
	out := map[string]any{}
	if resp.Text != "" {
		require.NoError(b.t, json.Unmarshal([]byte(resp.Text), &out))
	}
	return out
}

// list makes a list.
func (b *listBench) list(client string, status models.AttributionStatus, members string) string {
	b.t.Helper()
	return b.admin(http.StatusCreated, http.MethodPost, "/admin/attribution-lists", `{"client":"`+client+`","name":"Main Street","status":"`+string(status)+
		`","identifiers":["`+models.NPISystem+`|`+listClinic+`","urn:contract|77"],"purposes":["TREAT"],"members":`+members+`}`)["id"].(string)
}

func (b *listBench) put(status models.AttributionStatus) {
	b.t.Helper()
	b.admin(http.StatusOK, http.MethodPut, "/admin/attribution-lists/"+b.id, `{"client":"clinic","name":"Main Street","status":"`+string(status)+
		`","identifiers":["`+models.NPISystem+`|`+listClinic+`"],"purposes":["TREAT"]}`)
}

func (b *listBench) relate(patient, npi string) {
	b.t.Helper()
	_, err := b.Store.PutRelationship(b.t.Context(), models.Relationship{
		ID: models.NewID(), Member: models.MemberID(patient), NPI: npi, Type: models.RelationshipActive, Start: time.Now().AddDate(-1, 0, 0),
		Source: models.RelationshipByAdmin, CreatedBy: "test",
	})
	require.NoError(b.t, err)
}

func (b *listBench) optOut(patient string) string {
	b.t.Helper()
	o, _, err := b.Store.CreateOptOut(b.t.Context(), models.OptOut{
		ID: models.NewID(), Member: models.MemberID(patient), Scope: models.OptOutGlobal, Reason: models.ReasonPrivacy, Start: time.Now().Add(-time.Hour),
		Source: models.OptOutByAdmin, CreatedBy: "test", CreatedAt: time.Now(),
	})
	require.NoError(b.t, err)
	return o.ID
}

// read reads the list as its client sees it.
func (b *listBench) read() fhir.Group {
	b.t.Helper()
	resp := b.clinic.Do(b.t, http.MethodGet, "/fhir/Group/"+b.id, "")
	require.Equal(b.t, http.StatusOK, resp.StatusCode, resp.Text)
	g, err := fhir.ParseGroup([]byte(resp.Text))
	require.NoError(b.t, err, resp.Text)
	return g
}

// shown are the members of the list by Patient id, with "-" before those who are inactive.
func (b *listBench) shown() []string {
	b.t.Helper()
	out := []string{}
	for _, m := range b.read().Member {
		id := strings.TrimPrefix(m.Entity.Reference, "Patient/")
		if *m.Inactive {
			id = "-" + id
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

func (b *listBench) send(op, parameters string) *apitest.Answer {
	b.t.Helper()
	return b.clinic.Do(b.t, http.MethodPost, "/fhir/Group/"+b.id+"/$member-"+op, `{"resourceType":"Parameters","parameter":[`+parameters+`]}`, apitest.JSON)
}

func param(name, kind, value string) string {
	return `{"name":"` + name + `","value` + kind + `":` + value + `}`
}

func card(number string) string { return param("memberId", "Identifier", `{"value":"`+number+`"}`) }

func byNPI(number string) string {
	return param("providerNpi", "Identifier", `{"system":"`+models.NPISystem+`","value":"`+number+`"}`)
}

func ourPatient(id string) string {
	return param("patientReference", "Reference", `{"reference":"Patient/`+id+`"}`)
}

func TestAttributionListIsAGroup(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionOpen)
	g := b.read()
	require.Equal(t, []string{models.AttributionGroupProfile, models.ATRGroupProfile}, g.Meta.Profile)
	require.Equal(t, "1", g.Meta.VersionID)
	require.Equal(t, "open", fhir.FindExtension(g.Extension, "http://hl7.org/fhir/us/davinci-atr/StructureDefinition/ext-attributionListStatus").ValueCode)
	require.NotEmpty(t, fhir.FindExtension(g.Extension, "http://hl7.org/fhir/us/davinci-atr/StructureDefinition/ext-contractValidityPeriod").ValuePeriod.Start)
	require.Equal(t, "pdexprovidergroup", g.Code.Coding[0].Code)
	require.Equal(t, "pdexprovidergroup", g.Characteristic[0].Code.Coding[0].Code)
	require.Equal(t, listClinic, g.Characteristic[0].ValueReference.Identifier.Value)
	require.Equal(t, fhir.Identifier{System: "urn:payers", Value: "us"}, *g.ManagingEntity.Identifier)
	require.Equal(t, 2, *g.Quantity)
	require.Equal(t, []string{"p0", "p1"}, b.shown())
	for _, m := range g.Member {
		require.Equal(t, "new", fhir.FindExtension(m.Extension, "http://hl7.org/fhir/us/davinci-atr/StructureDefinition/ext-changeType").ValueCode)
		require.NotEmpty(t, m.Period.Start)
		provider := fhir.FindExtension(m.Extension, "http://hl7.org/fhir/us/davinci-atr/StructureDefinition/ext-attributedProvider")
		if m.Entity.Reference == "Patient/p0" {
			require.Equal(t, listDoctor, provider.ValueReference.Identifier.Value)
			require.Equal(t, "Practitioner", provider.ValueReference.Type)
		} else {
			require.Nil(t, provider)
		}
	}

	for query, found := range map[string]bool{
		"": true, "_id=" + b.id: true, "identifier=urn:uuid:" + b.id: true, "code=pdexprovidergroup": true, "code=match": false,
		"characteristic=" + url.QueryEscape("http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMemberAttributionCS|pdexprovidergroup"): true,
		"identifier=" + url.QueryEscape(models.NPISystem+"|"+listClinic):                                                                true,
		"identifier=" + url.QueryEscape("urn:oid:2.16.840.1.113883.4.6|"+listClinic):                                                    true,
		"identifier=" + listClinic: true, "identifier=urn:contract%7C77": true, "identifier=urn:contract%7C78": false, "identifier=urn:contract%7C": true,
		"identifier=" + url.QueryEscape("urn:contract|78,urn:contract|77"):                              true,
		"identifier=urn:contract%7C77&identifier=" + listClinic:                                         true,
		"identifier=urn:contract%7C77&identifier=" + listDoctor:                                         false,
		"_profile=" + url.QueryEscape(models.AttributionGroupProfile):                                   true,
		"characteristic-value-reference:identifier=" + url.QueryEscape(models.NPISystem+"|"+listClinic): true,
	} {
		s := search(t, b.clinic, "/fhir/Group?"+query)
		require.Equal(t, found, s.Total == 1, query)
		require.Equal(t, found, len(s.found(t)) == 1, query)
	}

	other := b.register("other", elsewhere)
	require.Empty(t, search(t, other, "/fhir/Group").Entry)
	for _, path := range []string{"", "/_history", "/_history/1"} {
		require.Equal(t, http.StatusOK, b.clinic.Do(t, http.MethodGet, "/fhir/Group/"+b.id+path, "").StatusCode, path)
		other.Do(t, http.MethodGet, "/fhir/Group/"+b.id+path, "").Refused(t, 404)
	}
	for _, op := range []string{"add", "remove"} {
		other.Do(t, http.MethodPost, "/fhir/Group/"+b.id+"/$member-"+op, `{"resourceType":"Parameters","parameter":[`+card("CARD-p2")+`]}`, apitest.JSON).Refused(t, 404)
	}
	b.clinic.Do(t, http.MethodGet, "/fhir/Group/"+b.id+"/_history/7", "").Refused(t, 404)

	_, err := b.Store.Pool.Exec(t.Context(), `UPDATE groups SET expires_at = now() - interval '1 second' WHERE id = $1`, b.id)
	require.NoError(t, err)
	b.clinic.Do(t, http.MethodGet, "/fhir/Group/"+b.id, "").Refused(t, 410)
	b.send("add", card("CARD-p2")+","+byNPI(listDoctor)).Refused(t, 410)
	require.Empty(t, search(t, b.clinic, "/fhir/Group").Entry)
}

// OP-15: whoever has opted out is not on the list, and is back when that is revoked.
func TestAttributionListLeavesOutWhoOptedOut(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionOpen)
	id := b.optOut("p0")
	require.Equal(t, []string{"p1"}, b.shown())
	require.Equal(t, 1, *b.read().Quantity)
	require.NotContains(t, b.clinic.Do(t, http.MethodGet, "/fhir/Group", "").Text, "p0")
	require.NotContains(t, b.clinic.Do(t, http.MethodGet, "/fhir/Group/"+b.id+"/_history", "").Text, "p0")
	seen := b.admin(http.StatusOK, http.MethodGet, "/admin/attribution-lists/"+b.id+"/members", "")
	reasons := map[string]any{}
	for _, i := range seen["items"].([]any) {
		m := i.(map[string]any)
		reasons[m["patient"].(string)] = fmt.Sprintf("%v %v %v", m["shown"], m["open"], m["reason"])
	}
	require.Equal(t, map[string]any{"p0": "false false opt-out-global", "p1": "true true permitted"}, reasons)
	_, err := b.Store.RevokeOptOut(t.Context(), id, time.Now(), "test", models.RevokedByMember)
	require.NoError(t, err)
	require.Equal(t, []string{"p0", "p1"}, b.shown())

	// With nobody to show the Group has no list of members.
	b.optOut("p0")
	b.optOut("p1")
	require.Empty(t, b.read().Member)
	require.NotContains(t, b.clinic.Do(t, http.MethodGet, "/fhir/Group/"+b.id, "").Text, `"member"`)
}

func TestMemberAdd(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionOpen)
	done := func(resp *apitest.Answer) {
		t.Helper()
		require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
		require.Contains(t, resp.Text, `"severity":"information"`)
	}
	done(b.send("add", card("card p2")+","+byNPI(listDoctor)))
	done(b.send("add", ourPatient("p3")+","+param("providerReference", "Reference", `{"identifier":{"system":"`+models.NPISystem+`","value":"`+listDoctor+`"}}`)+
		","+param("attributionPeriod", "Period", `{"start":"2020-01-01","end":"2099-12-31"}`)))
	require.Equal(t, []string{"p0", "p1", "p2", "p3"}, b.shown())
	g := b.read()
	require.Equal(t, "3", g.Meta.VersionID)
	for _, m := range g.Member {
		if m.Entity.Reference == "Patient/p3" {
			require.Equal(t, fhir.Period{Start: "2020-01-01T00:00:00.000Z", End: "2100-01-01T00:00:00.000Z"}, *m.Period)
		}
	}
	done(b.send("add", card("CARD-p2")+","+byNPI(listDoctor)+","+param("attributionPeriod", "Period", `{"end":"2098"}`))) // again, otherwise
	require.Equal(t, []string{"p0", "p1", "p2", "p3"}, b.shown())
	require.Contains(t, b.send("add", ourPatient("p0")+","+byNPI(listDoctor)+","+param("attributionPeriod", "Period", `{"end":"2098"}`)).Text, "already")
	require.Nil(t, b.attributions("p0")[0].End, "what the plan has said stays")

	// The treatment relationship list decides, and goes on deciding.
	for name, parameters := range map[string]string{
		"a stranger":                    card("NOBODY") + "," + byNPI(listDoctor),
		"a Patient nobody knows":        ourPatient("p99") + "," + byNPI(listDoctor),
		"a family":                      card("FAMILY-7") + "," + byNPI(listDoctor),
		"not treated":                   card("CARD-p5") + "," + byNPI(listDoctor),
		"treated elsewhere":             card("CARD-p4") + "," + byNPI(listDoctor),
		"treated elsewhere, by Patient": ourPatient("p4") + "," + byNPI(listDoctor),
	} {
		o := b.send("add", parameters).Refused(t, http.StatusUnprocessableEntity)
		require.Contains(t, []string{"memberId", "patientReference"}, o.At(), name)
		require.Equal(t, "nobody who may be put on this list is known by this", o.Issue[0].Diagnostics, name)
	}
	for _, who := range []string{elsewhere, "1003000126"} {
		o := b.send("add", card("CARD-p4")+","+byNPI(who)).Refused(t, http.StatusUnprocessableEntity)
		require.Equal(t, "providerNpi", o.At())
		require.NotContains(t, o.Issue[0].Diagnostics, who)
	}
	rels, err := b.Store.RelationshipsOf(t.Context(), []uuid.UUID{models.MemberID("p2")}, []string{listDoctor})
	require.NoError(t, err)
	require.NoError(t, b.Store.DeleteRelationship(t.Context(), rels[models.MemberID("p2")][0].ID, nil))
	require.Equal(t, []string{"-p2", "p0", "p1", "p3"}, b.shown())

	// Somebody who has opted out is as unknown as a stranger.
	b.relate("p5", listDoctor)
	b.optOut("p5")
	o := b.send("add", card("CARD-p5")+","+byNPI(listDoctor)).Refused(t, http.StatusUnprocessableEntity)
	require.Equal(t, "nobody who may be put on this list is known by this", o.Issue[0].Diagnostics)
	require.Empty(t, b.attributions("p5"))
}

func (b *listBench) attributions(who string) []models.Attribution {
	b.t.Helper()
	claim, err := b.Store.Claim(b.t.Context(), b.id, []uuid.UUID{models.MemberID(who)})
	require.NoError(b.t, err)
	return claim.Attributions[models.MemberID(who)]
}

func TestMemberRemove(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionOpen)
	const members = "/members"
	path := "/admin/attribution-lists/" + b.id + members
	b.admin(http.StatusOK, http.MethodPost, path, `{"members":[{"patient":"p0"},{"patient":"p2","npi":"`+listDoctor+`"}]}`)
	b.send("remove", ourPatient("p0")+","+byNPI(elsewhere)).Refused(t, http.StatusNotFound)
	require.Len(t, b.attributions("p0"), 2)
	require.Equal(t, http.StatusOK, b.send("remove", ourPatient("p0")+","+byNPI(listDoctor)).StatusCode)
	require.Len(t, b.attributions("p0"), 1, "of that provider alone")
	require.Equal(t, http.StatusOK, b.send("remove", ourPatient("p0")+","+byNPI(listClinic)).StatusCode)
	require.Equal(t, []string{"p1", "p2"}, b.shown(), "the clinic is whose list it is")
	require.Equal(t, http.StatusOK, b.send("remove", card("CARD-p1")).StatusCode)
	b.send("remove", card("CARD-p1")).Refused(t, http.StatusNotFound)
	b.send("remove", ourPatient("p2")+","+param("coverageReference", "Reference", `{"reference":"Coverage/another"}`)).Refused(t, http.StatusNotFound)
	for _, who := range []string{card("NOBODY"), card("FAMILY-7"), ourPatient("p99")} {
		require.Contains(t, []string{"memberId", "patientReference"}, b.send("remove", who).Refused(t, http.StatusNotFound).At())
	}
	// Of somebody who has opted out since nothing is told, not even by a new version of the list.
	version := b.read().Meta.VersionID
	b.optOut("p2")
	b.send("remove", ourPatient("p2")).Refused(t, http.StatusNotFound)
	require.Equal(t, version, b.read().Meta.VersionID)
}

func TestDraftsAndFinalLists(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionDraft)
	require.Equal(t, http.StatusOK, b.send("remove", ourPatient("p0")).StatusCode)
	require.Equal(t, []string{"-p0", "p1"}, b.shown(), "on a draft they are inactive")
	b.send("remove", ourPatient("p0")).Refused(t, http.StatusNotFound)
	require.Equal(t, http.StatusOK, b.send("add", ourPatient("p3")+","+byNPI(listDoctor)).StatusCode)
	b.put(models.AttributionFinal)
	require.Equal(t, []string{"p1", "p3"}, b.shown(), "and gone when it is final")
	for _, op := range []string{"add", "remove"} {
		o := b.send(op, ourPatient("p1")+","+byNPI(listDoctor)).Refused(t, http.StatusConflict)
		require.Contains(t, o.Issue[0].Diagnostics, "final")
	}
	for method, path := range map[string]string{http.MethodPost: "/members", http.MethodPut: ""} {
		body := `{"client":"clinic","status":"final","members":[{"patient":"p2"}]}`
		if method == http.MethodPost {
			body = `{"members":[{"patient":"p2"}]}`
		}
		require.Contains(t, b.admin(http.StatusConflict, method, "/admin/attribution-lists/"+b.id+path, body)["detail"], "final")
	}
	b.admin(http.StatusConflict, http.MethodPost, "/admin/attribution-lists/"+b.id+"/members/remove", `{"patient":"p1"}`)
	require.Equal(t, []string{"p1", "p3"}, b.shown())
	b.put(models.AttributionOpen) // an administrator may open it again
	require.Equal(t, http.StatusOK, b.send("remove", ourPatient("p1")).StatusCode)
	require.Equal(t, []string{"p3"}, b.shown())
}

// Whatever is wrong with a request is refused with where that is, echoes nothing, and changes nothing.
func TestBrokenReconciliation(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionOpen)
	const hush = "HUSH-HUSH"
	who, by := ourPatient("p2"), byNPI(listDoctor)
	ref := func(name, ref string) string { return param(name, "Reference", `{"reference":"`+ref+`"}`) }
	for name, tc := range map[string]struct {
		op, parameters string
		status         int
		at             string
	}{
		"no parameters":                      {"add", ``, 400, "memberId"},
		"no provider":                        {"add", who, 400, "providerNpi"},
		"no member":                          {"add", by, 400, "memberId"},
		"no member to remove":                {"remove", by, 400, "memberId"},
		"two ways to name the member":        {"add", who + "," + card("CARD-p2") + "," + by, 400, "patientReference"},
		"two ways to name the provider":      {"add", who + "," + by + "," + ref("providerReference", "Practitioner/x"), 400, "providerReference"},
		"the member twice":                   {"add", who + "," + who + "," + by, 400, "patientReference"},
		"the provider twice":                 {"remove", who + "," + by + "," + by, 400, "providerNpi"},
		"unknown parameter":                  {"add", who + "," + by + `,{"name":"nonesuch","valueString":"` + hush + `"}`, 400, "nonesuch"},
		"unshowable parameter":               {"add", who + "," + by + `,{"name":"` + hush + ` 1","valueString":"x"}`, 400, ""},
		"a parameter without a name":         {"add", who + "," + by + `,{"valueString":"` + hush + `"}`, 400, ""},
		"coverage of an addition":            {"add", who + "," + by + "," + ref("coverageReference", "Coverage/c"), 400, "coverageReference"},
		"period of a removal":                {"remove", who + "," + param("attributionPeriod", "Period", `{"start":"2026"}`), 400, "attributionPeriod"},
		"memberId as a string":               {"add", param("memberId", "String", `"`+hush+`"`) + "," + by, 400, "memberId"},
		"memberId as a list":                 {"add", param("memberId", "Identifier", `["`+hush+`"]`) + "," + by, 400, "memberId"},
		"memberId without a value":           {"add", param("memberId", "Identifier", `{"system":"`+hush+`"}`) + "," + by, 400, "memberId"},
		"memberId that is a number":          {"add", param("memberId", "Identifier", `{"value":7}`) + "," + by, 400, "memberId"},
		"memberId of blanks":                 {"remove", card("   "), 400, "memberId"},
		"memberId too long":                  {"remove", card(strings.Repeat("9", 65)), 400, "memberId"},
		"memberId with parts":                {"remove", `{"name":"memberId","part":[{"name":"x"}]}`, 400, "memberId"},
		"memberId without anything":          {"remove", `{"name":"memberId"}`, 400, "memberId"},
		"memberId as a resource":             {"remove", `{"name":"memberId","resource":{"resourceType":"Patient"}}`, 400, "memberId"},
		"providerNpi with a bad check digit": {"add", who + "," + byNPI("1234567890"), 400, "providerNpi"},
		"providerNpi of another system":      {"add", who + "," + param("providerNpi", "Identifier", `{"system":"urn:x","value":"`+listDoctor+`"}`), 400, "providerNpi"},
		"providerNpi as a reference":         {"add", who + "," + ref("providerNpi", "Practitioner/x"), 400, "providerNpi"},
		"providerNpi too long":               {"remove", who + "," + byNPI(listDoctor+"1"), 400, "providerNpi"},
		"patientReference to a Group":        {"add", ref("patientReference", "Group/p2") + "," + by, 400, "patientReference"},
		"patientReference elsewhere":         {"add", ref("patientReference", "https://elsewhere.example/fhir/Patient/p2") + "," + by, 400, "patientReference"},
		"patientReference with a version":    {"add", ref("patientReference", "Patient/p2/_history/1") + "," + by, 400, "patientReference"},
		"patientReference that is none":      {"add", ref("patientReference", hush) + "," + by, 400, "patientReference"},
		"patientReference of two":            {"add", ref("patientReference", "Patient/p2,Patient/p3") + "," + by, 400, "patientReference"},
		"patientReference by identifier":     {"add", param("patientReference", "Reference", `{"identifier":{"value":"CARD-p2"}}`) + "," + by, 400, "patientReference"},
		"patientReference empty":             {"remove", param("patientReference", "Reference", `{}`), 400, "patientReference"},
		"providerReference to a Patient":     {"add", who + "," + ref("providerReference", "Patient/p3"), 400, "providerReference"},
		"providerReference that is none":     {"add", who + "," + ref("providerReference", hush), 400, "providerReference"},
		"providerReference not held":         {"add", who + "," + ref("providerReference", "Practitioner/"+hush), 422, "providerReference"},
		"providerReference by a bad NPI":     {"add", who + "," + param("providerReference", "Reference", `{"identifier":{"system":"`+models.NPISystem+`","value":"1"}}`), 400, "providerReference"},
		"coverageReference to a Patient":     {"remove", who + "," + ref("coverageReference", "Patient/p2"), 400, "coverageReference"},
		"coverageReference as a string":      {"remove", who + "," + param("coverageReference", "String", `"Coverage/x"`), 400, "coverageReference"},
		"period of nothing":                  {"add", who + "," + by + "," + param("attributionPeriod", "Period", `{}`), 400, "attributionPeriod"},
		"period that is no time":             {"add", who + "," + by + "," + param("attributionPeriod", "Period", `{"start":"`+hush+`"}`), 400, "attributionPeriod"},
		"period whose end is no day":         {"add", who + "," + by + "," + param("attributionPeriod", "Period", `{"end":"2026-02-31"}`), 400, "attributionPeriod"},
		"period that ends before it starts":  {"add", who + "," + by + "," + param("attributionPeriod", "Period", `{"start":"2027-01-01","end":"2026-01-01"}`), 400, "attributionPeriod"},
		"period over already":                {"add", who + "," + by + "," + param("attributionPeriod", "Period", `{"end":"2020-01-01"}`), 400, "attributionPeriod"},
		"period as a string":                 {"add", who + "," + by + "," + param("attributionPeriod", "String", `"2026"`), 400, "attributionPeriod"},
	} {
		o := b.send(tc.op, tc.parameters).Refused(t, tc.status)
		require.Equal(t, tc.at, o.At(), name)
		require.NotContains(t, o.Issue[0].Diagnostics, hush, name)
	}
	for name, tc := range map[string]struct {
		path, body, contentType string
		status                  int
	}{
		"no JSON":              {"$member-add", `{"resourceType":`, apitest.JSON, 400},
		"nothing":              {"$member-add", ``, apitest.JSON, 400},
		"another resource":     {"$member-add", `{"resourceType":"Group"}`, apitest.JSON, 400},
		"a list":               {"$member-remove", `[]`, apitest.JSON, 400},
		"parameters of a kind": {"$member-remove", `{"resourceType":"Parameters","parameter":{"name":"memberId"}}`, apitest.JSON, 400},
		"an element twice":     {"$member-remove", `{"resourceType":"Parameters","parameter":[{"name":"memberId","name":"patientReference"}]}`, apitest.JSON, 400},
		"two values":           {"$member-remove", `{"resourceType":"Parameters","parameter":[{"name":"memberId","valueString":"x","valueIdentifier":{"value":"x"}}]}`, apitest.JSON, 400},
		"deep":                 {"$member-remove", `{"resourceType":"Parameters","x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, apitest.JSON, 400},
		"XML":                  {"$member-add", `<Parameters/>`, "Content-Type: application/fhir+xml", 415},
		"too much":             {"$member-add", `{"resourceType":"Parameters","x":"` + strings.Repeat("x", 1<<20) + `"}`, apitest.JSON, 413},
		"a query":              {"$member-add?memberId=x", `{"resourceType":"Parameters"}`, apitest.JSON, 400},
		"another operation":    {"$member-change", `{"resourceType":"Parameters"}`, apitest.JSON, 404},
	} {
		resp := b.clinic.Do(t, http.MethodPost, "/fhir/Group/"+b.id+"/"+tc.path, tc.body, tc.contentType)
		require.Equal(t, tc.status, resp.StatusCode, "%s: %s", name, resp.Text)
	}
	for _, op := range []string{"add", "remove"} {
		path := "/fhir/Group/" + b.id + "/$member-" + op
		b.clinic.Do(t, http.MethodGet, path, "").Refused(t, 405)
		b.Login(t, "clinic", "system/*.rs").Do(t, http.MethodPost, path, "{}", apitest.JSON).Refused(t, 403)
		require.Equal(t, http.StatusUnauthorized, b.Do(t, http.MethodPost, path, "{}", apitest.JSON).StatusCode)
		matched := addGroup(t, b.clinic, nil)
		b.clinic.Do(t, http.MethodPost, "/fhir/Group/"+matched+"/$member-"+op, `{"resourceType":"Parameters"}`, apitest.JSON).Refused(t, 422)
	}
	b.Login(t, "clinic", addScope).Do(t, http.MethodPost, "/fhir/Group/"+b.id+"/$member-remove", "{}", apitest.JSON).Refused(t, 403)
	require.Equal(t, []string{"p0", "p1"}, b.shown())
	require.Equal(t, "1", b.read().Meta.VersionID)
}

// KD-07 and what else an export of a list must have.
func TestAttributionListExportKickOff(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionOpen)
	const pdex = "hl7.fhir.us.davinci-pdex#provider-"
	try := func(query string) *apitest.Answer {
		resp := b.clinic.Do(t, http.MethodGet, "/fhir/Group/"+b.id+"/$davinci-data-export?"+query, "", apitest.Async, apitest.FHIR)
		if resp.StatusCode == http.StatusAccepted {
			b.clinic.Do(t, http.MethodDelete, resp.Header.Get("Content-Location"), "")
		}
		return resp
	}
	typ := func(exportType string) string { return "exportType=" + url.QueryEscape(exportType) }
	for query, at := range map[string]string{
		typ("hl7.fhir.us.davinci-atr"):                                                            "_type",
		typ("hl7.fhir.us.davinci-atr") + "&_type=Patient":                                         "_type",
		typ("hl7.fhir.us.davinci-atr") + "&_type=Patient,Coverage":                                "_type",
		typ("hl7.fhir.us.davinci-atr") + "&_type=Group,Patient,RelatedPerson":                     "_type",
		typ("hl7.fhir.us.davinci-atr") + "&_type=Group,Patient,Coverage&organizeOutputBy=Patient": "organizeOutputBy",
		typ("hl7.fhir.us.davinci-pdex#payertopayer"):                                              "exportType",
		typ("hl7.fhir.us.davinci-atr#x"):                                                          "exportType",
		typ(pdex + "delta"):                                                                       "_since",
	} {
		require.Equal(t, at, try(query).Refused(t, http.StatusBadRequest).At(), query)
	}
	for _, query := range []string{
		"", typ("hl7.fhir.us.davinci-atr") + "&_type=Group,Patient,Coverage", typ("hl7.fhir.us.davinci-atr") + "&_type=Group&_type=Coverage,Patient,Practitioner,Condition",
		typ(pdex + "download"), typ(pdex + "snapshot"), typ(pdex+"delta") + "&_since=2026-01-01T00:00:00Z",
	} {
		require.Equal(t, http.StatusAccepted, try(query).StatusCode, query)
	}
	matched := addGroup(t, b.clinic, func(g *store.Group) { g.Profile = models.ProviderGroupProfile })
	b.clinic.Do(t, http.MethodGet, "/fhir/Group/"+matched+"/$davinci-data-export?_type=Group,Patient,Coverage&"+typ("hl7.fhir.us.davinci-atr"), "", apitest.Async, apitest.FHIR).
		Refused(t, http.StatusBadRequest)
	narrow := b.Login(t, "clinic", "system/Patient.rs system/Coverage.rs")
	narrow.Do(t, http.MethodGet, "/fhir/Group/"+b.id+"/$davinci-data-export?_type=Group,Patient,Coverage&"+typ("hl7.fhir.us.davinci-atr"), "", apitest.Async, apitest.FHIR).
		Refused(t, http.StatusForbidden)

	b.put(models.AttributionDraft)
	for query, at := range map[string]string{
		"": "exportType", typ(pdex + "download"): "exportType",
		typ("hl7.fhir.us.davinci-atr") + "&_type=Group,Patient,Coverage,Condition": "_type",
	} {
		o := try(query).Refused(t, http.StatusConflict)
		require.Equal(t, at, o.At(), query)
		require.Contains(t, o.Issue[0].Diagnostics, "draft")
	}
	b.clinic.Do(t, http.MethodGet, "/fhir/Group/"+b.id+"/$export", "", apitest.Async, apitest.FHIR).Refused(t, http.StatusConflict)
	require.Equal(t, http.StatusAccepted, try(typ("hl7.fhir.us.davinci-atr")+"&_type=Group,Patient,Coverage,RelatedPerson").StatusCode)
	var unclinical string // said for the activities, which hold it against what the list is then
	require.NoError(t, b.Store.Pool.QueryRow(t.Context(), `SELECT string_agg(coalesce((params->>'unclinical')::text, '-'), ' ' ORDER BY created_at) FROM jobs
		WHERE params->>'exportType' = 'hl7.fhir.us.davinci-atr'`).Scan(&unclinical))
	require.Regexp(t, `^(true - |- true )true$`, unclinical, "with Condition a list export is clinical")
}

// OP-16: a list is not shown while opt-outs cannot be looked up, nor does anybody come on it.
func TestAttributionListWithoutOptOuts(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionOpen)
	rename := func(from, to string) {
		_, err := b.Store.Pool.Exec(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to)
		require.NoError(t, err)
	}
	rename("opt_outs", "opt_outs_away")
	for _, path := range []string{"/fhir/Group", "/fhir/Group/" + b.id, "/fhir/Group/" + b.id + "/_history"} {
		resp := b.clinic.Do(t, http.MethodGet, path, "")
		resp.Refused(t, http.StatusServiceUnavailable)
		require.NotContains(t, resp.Text, "p0")
	}
	b.send("add", ourPatient("p2")+","+byNPI(listDoctor)).Refused(t, http.StatusServiceUnavailable)
	b.send("remove", ourPatient("p0")).Refused(t, http.StatusServiceUnavailable)
	rename("opt_outs_away", "opt_outs")
	require.Equal(t, []string{"p0", "p1"}, b.shown())
}

// What changes a list is in the audit log, with the member.
func TestReconciliationIsRecorded(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionOpen)
	require.Equal(t, http.StatusOK, b.send("add", ourPatient("p2")+","+byNPI(listDoctor)).StatusCode)
	require.Equal(t, http.StatusOK, b.send("remove", ourPatient("p2")).StatusCode)
	b.send("remove", ourPatient("p99")).Refused(t, http.StatusNotFound)
	var page struct {
		Items []struct {
			Action, Client, Outcome string
			Group                   string `json:"grp"`
			Members                 []uuid.UUID
		}
	}
	resp := b.Do(t, http.MethodPost, "/admin/audit/search", `{"group":"`+b.id+`"}`, "Authorization: Bearer "+apitest.AdminToken, "Content-Type: application/json")
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &page), resp.Text)
	var seen []string
	for _, e := range page.Items {
		require.Equal(t, "clinic", e.Client)
		who := ""
		if len(e.Members) == 1 && e.Members[0] == models.MemberID("p2") {
			who = " p2"
		}
		seen = append(seen, e.Action+" "+e.Outcome+who)
	}
	slices.Sort(seen)
	require.Equal(t, []string{"member-add success p2", "member-remove refused", "member-remove success p2"}, seen, resp.Text)
}

// A list of any length is read page after page.
func TestLongAttributionList(t *testing.T) {
	t.Parallel()
	b := newListBench(t, models.AttributionOpen)
	const many = 2500
	ids, patients := make([]uuid.UUID, many), make([]string, many)
	attributions := make([]models.Attribution, many)
	for i := range many {
		patients[i] = fmt.Sprintf("m%d", i)
		ids[i] = models.MemberID(patients[i])
		attributions[i] = models.Attribution{Member: ids[i], NPI: listDoctor, Start: time.Now().Add(-time.Hour)}
	}
	_, err := b.Store.Pool.Exec(t.Context(), `INSERT INTO members (id, patient_id, present, updated_at) SELECT *, true, now() FROM unnest($1::uuid[], $2::text[])`, ids, patients)
	require.NoError(t, err)
	_, err = b.Store.AddAttributions(t.Context(), b.id, attributions)
	require.NoError(t, err)
	b.optOut("m7")
	g := b.read()
	require.Len(t, g.Member, many+1)
	require.Equal(t, many+1, *g.Quantity)
	seen := map[string]bool{}
	for _, m := range g.Member {
		require.False(t, seen[m.Entity.Reference], "each once")
		seen[m.Entity.Reference] = true
	}
	require.False(t, seen["Patient/m7"])
	require.True(t, seen["Patient/m8"] && seen["Patient/p1"])
}

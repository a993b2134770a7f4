package bulk_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

// Content of a patient leaves by the address that the export wrote, to the owner of the job, for as long as everything that
// let it out holds. All else is unknown.
func TestAttachments(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	owner, other := a.Client(t, "owner", models.ClientPayer, ""), a.Client(t, "other", models.ClientPayer, "")
	group := addGroup(t, owner, nil)
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := a.Store.Pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	member, stranger := models.MemberID("p"), models.MemberID("q")
	exec(`INSERT INTO group_members (group_id, member_id, policy, consent_start, consent_end) VALUES ($1, $2, 'regular', now() - interval '1 hour', now() + interval '1 hour')`, group, member)
	job := owner.KickOff(t, http.MethodGet, "/fhir/Group/"+group+"/$export?_type=Patient,DocumentReference", "")
	exec(`INSERT INTO binaries (id, content_type, class, updated_at, version, hash, bound, member_id, data) VALUES
		('mine', 'application/pdf', 0, now(), 0, 7, true, $1, 'content'), ('not-sent', 'application/pdf', 0, now(), 0, 8, true, $1, 'x'),
		('strange', 'application/pdf', 0, now(), 0, 9, true, $2, 'x')`, member, stranger)
	exec(`INSERT INTO attachments (member_id, source, type, binary_id, relative) VALUES ($1, 1, 42, 'mine', true), ($1, 1, 42, 'not-sent', true), ($1, 1, 42, 'strange', true)`, member)
	exec(`INSERT INTO export_attachments (job_id, binary_id, member_id) VALUES ($1, 'mine', $2), ($1, 'strange', $2)`, job.ID, member)
	path := func(id string) string { return "/fhir/bulk-files/" + job.ID + "/Binary/" + id }

	owner.Do(t, http.MethodGet, path("mine"), "").Refused(t, 404)
	complete(t, owner, job, time.Now().Add(time.Hour))

	got := owner.Do(t, http.MethodGet, path("mine"), "")
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, "content", got.Text)
	require.Equal(t, "application/pdf", got.Header.Get("Content-Type"))
	require.Equal(t, "7", got.Header.Get("Content-Length"))
	require.Equal(t, "attachment", got.Header.Get("Content-Disposition"))
	got = owner.Do(t, http.MethodGet, path("mine"), "", "Range: bytes=3-")
	require.Equal(t, http.StatusPartialContent, got.StatusCode)
	require.Equal(t, "tent", got.Text)

	a.Do(t, http.MethodGet, path("mine"), "").Refused(t, 401)
	other.Do(t, http.MethodGet, path("mine"), "").Refused(t, 404)
	a.Login(t, "owner", "system/Patient.rs").Do(t, http.MethodGet, path("mine"), "").Refused(t, 403)
	for _, id := range []string{"not-sent", "strange", "nothing", "a%2Fb", "%00"} {
		owner.Do(t, http.MethodGet, path(id), "").Refused(t, 404)
	}
	again := owner.KickOff(t, http.MethodGet, "/fhir/Group/"+group+"/$export?_type=DocumentReference", "")
	complete(t, owner, again, time.Now().Add(time.Hour))
	owner.Do(t, http.MethodGet, "/fhir/bulk-files/"+again.ID+"/Binary/mine", "").Refused(t, 404)

	for name, c := range map[string]struct{ do, undo string }{
		"consent over":   {`UPDATE group_members SET consent_end = now() - interval '1 minute'`, `UPDATE group_members SET consent_end = now() + interval '1 hour'`},
		"now sensitive":  {`UPDATE binaries SET class = 1`, `UPDATE binaries SET class = 0`},
		"now another's":  {`UPDATE binaries SET member_id = '` + stranger.String() + `' WHERE id = 'mine'`, `UPDATE binaries SET member_id = '` + member.String() + `' WHERE id = 'mine'`},
		"document gone":  {`UPDATE attachments SET member_id = '` + stranger.String() + `'`, `UPDATE attachments SET member_id = '` + member.String() + `'`},
		"deleted":        {`UPDATE binaries SET gone = true`, `UPDATE binaries SET gone = false`},
		"left the Group": {`UPDATE group_members SET member_id = '` + stranger.String() + `'`, `UPDATE group_members SET member_id = '` + member.String() + `'`},
		"kept from sharing": {`INSERT INTO consent_overrides (id, member_id, requester, starts_at, source, created_by, created_at)
			VALUES (gen_random_uuid(), '` + member.String() + `', '', now() - interval '1 minute', 'x', 'x', now())`, `DELETE FROM consent_overrides`},
		"consent revoked": {`INSERT INTO consents (id, member_id, requester, client_id, job_id, idx, state, reason, given_at, submitted_at, revoked_at, document)
			VALUES (gen_random_uuid(), '` + member.String() + `', '` + models.CanonicalOrganization(apitest.OrganizationID("owner")) + `', 'owner', gen_random_uuid(), 0, 'revoked', '', now(), now(), now(), '{}')`, `DELETE FROM consents`},
		"opted out": {`INSERT INTO opt_outs (id, member_id, scope, target, starts_at, ends_at, reason, source, created_by, created_at) VALUES (gen_random_uuid(), '` + member.String() + `',
			'payer-specific', '` + models.CanonicalOrganization(apitest.OrganizationID("owner")) + `', now() - interval '1 day', now() + interval '1 day', '', 'admin', 'x', now() - interval '1 day')`, `DELETE FROM opt_outs`},
		"another Group":     {`UPDATE groups SET profile = 'x'`, `UPDATE groups SET profile = '` + models.MatchGroupProfile + `'`},
		"Group over":        {`UPDATE groups SET expires_at = now() - interval '1 minute'`, `UPDATE groups SET expires_at = NULL`},
		"context not found": {`UPDATE binaries SET member_id = NULL`, `UPDATE binaries SET member_id = '` + member.String() + `' WHERE id <> 'strange'`},
	} {
		exec(c.do)
		owner.Do(t, http.MethodGet, path("mine"), "").Refused(t, 404)
		exec(c.undo)
		require.Equal(t, http.StatusOK, owner.Do(t, http.MethodGet, path("mine"), "").StatusCode, name)
	}

	exec(`UPDATE jobs SET expires_at = now() - interval '1 second' WHERE id = $1`, job.ID)
	owner.Do(t, http.MethodGet, path("mine"), "").Refused(t, 410)
	exec(`UPDATE jobs SET expires_at = now() + interval '1 hour' WHERE id = $1`, job.ID)
	require.Equal(t, http.StatusAccepted, owner.Do(t, http.MethodDelete, "/fhir/bulk-status/"+job.ID, "").StatusCode)
	owner.Do(t, http.MethodGet, path("mine"), "").Refused(t, 404)
	_, err := a.Store.PurgeJob(t.Context(), job.ID, time.Now())
	require.NoError(t, err)
	has, err := a.Store.HasAttachments(t.Context(), job.ID)
	require.NoError(t, err)
	require.False(t, has)
}

// A provider gets attachments for as long as the terms hold under which the member was opened, and never sensitive ones.
func TestAttachmentsOfProviders(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	c := a.Client(t, "clinic", models.ClientProvider, "")
	group := addGroup(t, c, func(g *store.Group) { g.Profile = models.ProviderGroupProfile })
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := a.Store.Pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	member := models.MemberID("p")
	exec(`UPDATE lines_of_business SET treatment = 'attestation-sufficient'`)
	exec(`INSERT INTO group_members (group_id, member_id, policy) VALUES ($1, $2, '')`, group, member)
	exec(`INSERT INTO group_askers (group_id, organizations, holder) VALUES ($1, '{urn:x|clinic}', '{}')`, group)
	const terms = `INSERT INTO group_terms (group_id, member_id, idx, named, vouched, purposes, lines, ends_at)
		SELECT id, $1, $2, '{1982947230}', '{1982947230}', '{TREAT}', '{default}', now() + interval '1 hour' FROM groups WHERE $3::uuid = id`
	exec(terms, member, 0, group)
	job := c.KickOff(t, http.MethodGet, "/fhir/Group/"+group+"/$export?_type=Patient,DocumentReference", "")
	exec(`INSERT INTO binaries (id, content_type, class, updated_at, version, hash, bound, member_id, data)
		VALUES ('mine', 'application/pdf', 0, now(), 0, 7, true, $1, 'content'), ('secret', 'application/pdf', $2, now(), 0, 8, true, $1, 'x')`, member, int16(models.ClassSensitive))
	exec(`INSERT INTO attachments (member_id, source, type, binary_id, relative) VALUES ($1, 1, 42, 'mine', true), ($1, 1, 42, 'secret', true)`, member)
	exec(`INSERT INTO export_attachments (job_id, binary_id, member_id) VALUES ($1, 'mine', $2), ($1, 'secret', $2)`, job.ID, member)
	complete(t, c, job, time.Now().Add(time.Hour))
	get := func(id string) *apitest.Answer {
		return c.Do(t, http.MethodGet, "/fhir/bulk-files/"+job.ID+"/Binary/"+id, "")
	}
	require.Equal(t, http.StatusOK, get("mine").StatusCode)
	get("secret").Refused(t, 404)

	optOut := func(scope models.OptOutScope, target string) string {
		return `INSERT INTO opt_outs (id, member_id, scope, target, starts_at, ends_at, reason, source, created_by, created_at)
			VALUES (gen_random_uuid(), '` + member.String() + `', '` + string(scope) + `', '` + target + `', now() - interval '1 day', now() + interval '1 day', '', 'admin', 'x', now() - interval '1 day')`
	}
	for name, c := range map[string]struct{ do, undo string }{
		"opted out":               {optOut(models.OptOutGlobal, ""), `DELETE FROM opt_outs`},
		"opted out of this one":   {optOut(models.OptOutProvider, "1982947230"), `DELETE FROM opt_outs`},
		"attestation over":        {`UPDATE group_terms SET ends_at = now() - interval '1 minute'`, `UPDATE group_terms SET ends_at = NULL`},
		"a list is required now":  {`UPDATE lines_of_business SET treatment = 'list-required'`, `UPDATE lines_of_business SET treatment = 'attestation-sufficient'`},
		"no terms":                {`UPDATE group_terms SET member_id = gen_random_uuid()`, `UPDATE group_terms SET member_id = '` + member.String() + `'`},
		"sensitive now":           {`UPDATE binaries SET class = 1`, `UPDATE binaries SET class = 0 WHERE id = 'mine'`},
		"left the Group":          {`UPDATE group_members SET member_id = gen_random_uuid()`, `UPDATE group_members SET member_id = '` + member.String() + `'`},
		"Group over":              {`UPDATE groups SET expires_at = now() - interval '1 minute'`, `UPDATE groups SET expires_at = NULL`},
		"a Group of another kind": {`UPDATE groups SET profile = 'x'`, `UPDATE groups SET profile = '` + models.ProviderGroupProfile + `'`},
	} {
		exec(c.do)
		require.Equal(t, http.StatusNotFound, get("mine").StatusCode, name)
		exec(c.undo)
		require.Equal(t, http.StatusOK, get("mine").StatusCode, name)
	}
	exec(`DELETE FROM group_askers`) // what decides is not to be had
	require.Equal(t, http.StatusServiceUnavailable, get("mine").StatusCode)
}

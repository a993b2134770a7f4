package conformance

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"pdexbulk/dev/seed"
	"pdexbulk/models"
)

// audited is a record of the audit log.
type audited struct {
	Client, Actor, Kind, Action, Outcome, Job, Group, Route string
	Status                                                  int
	Members                                                 []string
	At                                                      time.Time
}

// audit searches the audit log.
func (t *T) audit(filter map[string]any) []audited {
	filter["limit"] = 1000
	var page struct{ Items []audited }
	t.must(t.ours().Admin(t.ctx, http.MethodPost, "/admin/audit/search", filter, &page))
	return page.Items
}

func (t *T) recorded(what string, records []audited, action, outcome string) audited {
	for _, r := range records {
		if r.Action == action && r.Outcome == outcome {
			t.check(!r.At.IsZero(), "%s: the record has no time", what)
			return r
		}
	}
	t.fail("%s: no record of %s with outcome %s", what, action, outcome)
	return audited{}
}

// clientID is the id that register gives a check's client.
func (t *T) clientID(prefix string) string { return prefix + strings.ToLower(t.id) }

var auditChecks = []check{
	{id: "AU-01", about: "kick-off, match with its members, manifest, download and delete are in the log with client, Group and job", run: func(t *T) {
		request, _ := t.request(91, 30)
		c := t.payer()
		result := t.match(c, request)
		group := result.matched(t)
		id := group.Get("id").Str
		x := t.export(c, "Group/"+id+"/$export", url.Values{"_type": {"Patient"}})
		t.check(t.call(c, http.MethodDelete, x.job.StatusURL, nil, nil).status == http.StatusAccepted, "the job cannot be deleted")
		records := t.audit(map[string]any{"client": t.clientID("check-payer-")})
		t.recorded("the match", records, "bulk-member-match", "success")
		matched := t.recorded("who was matched", records, "match-matched", "success")
		t.check(len(matched.Members) > 0, "no members are named")
		for _, action := range []string{"group-export-by-query", "job-status", "get-file", "end-job", "delete-job"} {
			r := t.recorded("the export", t.audit(map[string]any{"job": jobID(x.job)}), action, "success")
			t.check(r.Client == t.clientID("check-payer-"), "%s is recorded for another client", action)
			t.check(r.Group == id, "%s is recorded without its Group", action)
		}
		found := t.audit(map[string]any{"member": matched.Members[0]})
		t.recorded("by member", found, "get-file", "success")
		var report struct {
			Sound   bool
			Records int64
		}
		t.must(t.world.sys.Admin(t.ctx, http.MethodGet, "/admin/audit/verify", nil, &report))
		t.check(report.Sound && report.Records > 0, "the log does not verify")
	}},
	{id: "AU-02", about: "tokens, reads and refusals are in the log, and nothing of a person is", run: func(t *T) {
		c := t.backend()
		t.get(c, "Group")
		t.get(c, "Group/0198c5ab-0000-7000-8000-000000000000")
		t.get(c, "$export?_type=Nonesuch")
		t.get(t.narrow("system/Patient.rs"), "Group")
		id := t.clientID("check-")
		records := t.audit(map[string]any{"client": id})
		t.recorded("a token", records, "token", "success")
		t.recorded("a search", records, "search-groups", "success")
		t.recorded("a 404", records, "read-group", "refused")
		t.recorded("a 400", records, "system-export-by-query", "refused")
		t.recorded("a 403", records, "search-groups", "refused")
		for _, r := range records {
			t.check(r.Route == "" || !strings.Contains(r.Route, "0198c5ab"), "a route holds what was asked for")
		}
		since := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
		t.get(t.anonymous(), "Group")
		t.recorded("a 401", t.audit(map[string]any{"outcome": "refused", "action": "search-groups", "from": since}), "search-groups", "refused")
	}},
	{id: "AU-03", about: "nothing is disclosed before the right to it is shown", run: func(t *T) {
		p := t.payers()
		x := t.export(p.a, "Group/"+p.groupA+"/$export", url.Values{"_type": {"Patient"}})
		for _, path := range []string{"Group/" + p.groupA, x.job.StatusURL, x.m.Output[0].URL} {
			t.refused("no token", t.get(t.anonymous(), path), http.StatusUnauthorized)
			t.refused("another client", t.get(p.b, path), http.StatusNotFound)
		}
		t.refused("another's Group", t.call(p.b, http.MethodGet, "Group/"+p.groupA+"/$export", async(), nil), http.StatusNotFound)
		t.refused("everybody, by a payer", t.call(p.b, http.MethodGet, "Patient/$export", async(), nil), http.StatusForbidden)
	}},
}

// notMembers is a request for n people none of whom is a member.
func (t *T) notMembers(number uint64, n int) []byte {
	request, truth := t.request(number, 60)
	return change(request, func(bundles []any) []any {
		for i, row := range truth {
			if row.Expect == seed.NoMatch {
				out := make([]any, n)
				for j := range out {
					out[j] = bundles[i]
				}
				return out
			}
		}
		t.fail("there is no stranger in the request")
		return nil
	})
}

var limitChecks = []check{
	{id: "KM-14", about: "who asks for too many who are no members gets 429 with Retry-After, and others go on", run: func(t *T) {
		c := t.payer()
		for range matchFailures / matchMembers {
			t.match(c, t.notMembers(92, matchMembers))
		}
		request, _ := t.request(93, 1)
		a := t.postMatch(c, request)
		t.refused("another match", a, http.StatusTooManyRequests)
		t.check(a.get("issue.0.code").Str == "throttled", "the code is %s", a.get("issue.0.code").Str)
		t.seconds(a.header)
		t.match(t.register("check-km-14-other", models.ClientPayer, allData, matching), request)
	}},
}

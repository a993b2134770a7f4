package store_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
)

func auditKeys(t *testing.T) trail.Keys {
	t.Helper()
	k, err := trail.ParseKeys("k:" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
	require.NoError(t, err)
	return k
}

func auditEvent(i int) trail.Event {
	e := trail.New(time.Now().Add(time.Duration(i) * time.Second))
	e.Kind, e.Actor, e.Client, e.Action, e.Outcome, e.Status = trail.ActorClient, "payer", "payer", "get-file", trail.Success, 200
	e.Job, e.Target, e.Members, e.Counts = models.NewID(), fmt.Sprint(i), []uuid.UUID{uuid.New()}, trail.Counts{"n": int64(i)}
	e.Purpose, e.Reason, e.Source, e.Route = `TREAT "é"`, `\ reason`, "192.0.2.1", "GET /x"
	return e
}

func verifyAudit(t *testing.T, s *store.Store, keys trail.Keys, anchors ...trail.Head) trail.Report {
	t.Helper()
	v := trail.NewVerifier(keys, anchors)
	require.NoError(t, s.EachAudit(t.Context(), store.AuditQuery{}, func(r *trail.Record) error { v.Add(r); return nil }))
	return v.Report()
}

// sealed is a store whose audit log has n records.
func sealed(t *testing.T, n int) (*store.Store, trail.Keys, trail.Head) {
	t.Helper()
	s, keys := open(t), auditKeys(t)
	for i := range n {
		require.NoError(t, s.AddAudit(t.Context(), []trail.Event{auditEvent(i)}))
	}
	got, head, err := s.SealAudit(t.Context(), keys, 1000)
	require.NoError(t, err)
	require.Equal(t, n, got)
	require.Equal(t, int64(n), head.Seq)
	return s, keys, head
}

// What is read back is what was written, and the chain over it holds.
func TestAuditRoundTrip(t *testing.T) {
	t.Parallel()
	s, keys := open(t), auditKeys(t)
	var want []trail.Event
	for i := range 5 {
		want = append(want, auditEvent(i))
	}
	bare := trail.New(time.Now())
	bare.Action = "bare"
	want = append(want, bare)
	require.NoError(t, s.AddAudit(t.Context(), want))
	wait, err := s.AuditBacklog(t.Context(), time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.Greater(t, wait, 50*time.Second)
	for _, n := range []int{4, 2, 0} { // in pieces
		got, _, err := s.SealAudit(t.Context(), keys, 4)
		require.NoError(t, err)
		require.Equal(t, n, got)
	}
	wait, err = s.AuditBacklog(t.Context(), time.Now())
	require.NoError(t, err)
	require.Zero(t, wait)
	var got []trail.Event
	require.NoError(t, s.EachAudit(t.Context(), store.AuditQuery{}, func(r *trail.Record) error { got = append(got, r.Event); return nil }))
	require.Equal(t, want, got)
	report := verifyAudit(t, s, keys)
	require.True(t, report.Sound, report.Faults)
	require.Equal(t, int64(6), report.Records)
}

// Nobody changes or removes a record by an ordinary statement.
func TestAuditIsAppendOnly(t *testing.T) {
	t.Parallel()
	s, keys, _ := sealed(t, 3)
	require.NoError(t, s.AddAudit(t.Context(), []trail.Event{auditEvent(9)}))
	for _, statement := range []string{
		`UPDATE audit_log SET actor = 'x'`, `UPDATE audit_log SET actor = 'x' WHERE seq = 2`, `DELETE FROM audit_log WHERE seq = 2`,
		`DELETE FROM audit_log`, `TRUNCATE audit_log`, `UPDATE audit_inbox SET actor = 'x'`, `DELETE FROM audit_inbox`, `TRUNCATE audit_inbox`,
		`MERGE INTO audit_log l USING audit_log m ON l.seq = m.seq WHEN MATCHED THEN DELETE`,
	} {
		_, err := s.Pool.Exec(t.Context(), statement)
		require.ErrorContains(t, err, "audit log", statement)
	}
	n, _, err := s.SealAudit(t.Context(), keys, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.True(t, verifyAudit(t, s, keys).Sound)
}

// Whoever owns the tables can do it all the same, and is found out.
func TestAuditTampering(t *testing.T) {
	t.Parallel()
	const insert = `INSERT INTO audit_log SELECT %s, gen_random_uuid(), at, actor_kind, actor, client, action, outcome, status, job, grp, target, members, counts,
		purpose, reason, source, route, key_id, hash FROM audit_log WHERE seq = 5`
	for _, tt := range []struct {
		name      string
		statement string
		seq       int64
		says      string
	}{
		{"altered actor", `UPDATE audit_log SET actor = 'nobody' WHERE seq = 5`, 5, "altered"},
		{"altered time", `UPDATE audit_log SET at = at - interval '1 microsecond' WHERE seq = 5`, 5, "altered"},
		{"altered members", `UPDATE audit_log SET members = NULL WHERE seq = 5`, 5, "altered"},
		{"altered counts", `UPDATE audit_log SET counts = '{"n":1}' WHERE seq = 5`, 5, "altered"},
		{"altered job", `UPDATE audit_log SET job = NULL WHERE seq = 5`, 5, "altered"},
		{"altered hash", `UPDATE audit_log SET hash = hash || '\x00' WHERE seq = 5`, 5, "altered"},
		{"key forgotten", `UPDATE audit_log SET key_id = '' WHERE seq = 5`, 5, "altered"},
		{"removed", `DELETE FROM audit_log WHERE seq = 5`, 5, "missing"},
		{"removed and closed up", `DELETE FROM audit_log WHERE seq = 5; UPDATE audit_log SET seq = -seq WHERE seq > 5; UPDATE audit_log SET seq = -seq - 1 WHERE seq < 0`, 5, "altered"},
		{"first removed", `DELETE FROM audit_log WHERE seq = 1`, 1, "missing"},
		{"last removed", `DELETE FROM audit_log WHERE seq = 10`, 10, "missing from the end"},
		{"all removed", `DELETE FROM audit_log`, 1, "missing from the end"},
		{"inserted", `UPDATE audit_log SET seq = -seq WHERE seq > 5; UPDATE audit_log SET seq = 1 - seq WHERE seq < 0; ` + fmt.Sprintf(insert, "6"), 6, "put in"},
		{"appended", fmt.Sprintf(insert, "11"), 11, "put in"},
		{"reordered", `UPDATE audit_log SET seq = -seq WHERE seq IN (5, 6); UPDATE audit_log SET seq = 11 + seq WHERE seq < 0`, 5, "moved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, keys, head := sealed(t, 10)
			conn, err := s.Pool.Acquire(t.Context())
			require.NoError(t, err)
			defer conn.Release()
			for _, statement := range append([]string{`ALTER TABLE audit_log DISABLE TRIGGER ALL`}, strings.Split(tt.statement, "; ")...) {
				_, err := conn.Exec(t.Context(), statement)
				require.NoError(t, err, statement)
			}
			report := verifyAudit(t, s, keys, head)
			require.False(t, report.Sound)
			require.Equal(t, tt.seq, report.Faults[0].Seq)
			require.Contains(t, report.Faults[0].What, tt.says)
		})
	}
}

// Sealers that run at the same time make one chain.
func TestSealersTakeTurns(t *testing.T) {
	t.Parallel()
	s, keys := open(t), auditKeys(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				if err := s.AddAudit(context.Background(), []trail.Event{auditEvent(w*100 + i)}); err != nil {
					t.Error(err)
				}
				if _, _, err := s.SealAudit(context.Background(), keys, 3); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for n := 1; n > 0; {
		var err error
		n, _, err = s.SealAudit(t.Context(), keys, 50)
		require.NoError(t, err)
	}
	report := verifyAudit(t, s, keys)
	require.True(t, report.Sound, report.Faults)
	require.Equal(t, int64(100), report.Records)
}

func TestAuditSearch(t *testing.T) {
	t.Parallel()
	s, keys := open(t), auditKeys(t)
	member, group, job := models.MemberID("p"), models.NewID(), models.NewID()
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var events []trail.Event
	for i := range 10 {
		e := auditEvent(i)
		e.At, e.Client, e.Actor = at.Add(time.Duration(i)*time.Hour), fmt.Sprint("c", i%2), fmt.Sprint("a", i%3)
		e.Members = nil
		events = append(events, e)
	}
	events[2].Members = []uuid.UUID{uuid.New(), member}
	events[4].Group = group
	events[5].Job = job
	events[6].Outcome = trail.Refused
	events[7].Action = "kick-off"
	require.NoError(t, s.AddAudit(t.Context(), events))
	_, _, err := s.SealAudit(t.Context(), keys, 100)
	require.NoError(t, err)
	_, err = s.Pool.Exec(t.Context(), `INSERT INTO groups (id, client_id, job_id, profile, blob_key, members, created_at) VALUES ($1, 'c', $2, '', '', 1, now())`, group, job)
	require.NoError(t, err)
	_, err = s.Pool.Exec(t.Context(), `INSERT INTO group_members (group_id, member_id) VALUES ($1, $2)`, group, member)
	require.NoError(t, err)
	from, to := at.Add(3*time.Hour), at.Add(5*time.Hour)
	for _, tt := range []struct {
		q    store.AuditQuery
		want []string
	}{
		{store.AuditQuery{}, []string{"9", "8", "7", "6", "5", "4", "3", "2", "1", "0"}},
		{store.AuditQuery{Client: "c1"}, []string{"9", "7", "5", "3", "1"}},
		{store.AuditQuery{Actor: "a2"}, []string{"8", "5", "2"}},
		{store.AuditQuery{Client: "c1", Actor: "a2"}, []string{"5"}},
		{store.AuditQuery{Action: "kick-off"}, []string{"7"}},
		{store.AuditQuery{Outcome: trail.Refused}, []string{"6"}},
		{store.AuditQuery{Job: job}, []string{"5"}},
		{store.AuditQuery{Group: group}, []string{"4"}},
		{store.AuditQuery{Member: &member}, []string{"4", "2"}},
		{store.AuditQuery{From: &from, To: &to}, []string{"4", "3"}},
		{store.AuditQuery{Client: "c9"}, nil},
	} {
		var got []string
		for before := int64(0); ; {
			page, err := s.Audit(t.Context(), tt.q, before, 2)
			require.NoError(t, err)
			for _, r := range page {
				got, before = append(got, r.Target), r.Seq
			}
			if len(page) < 2 {
				break
			}
		}
		require.Equal(t, tt.want, got, "%+v", tt.q)
	}
}

// What changes state is recorded with the change, and when the change is undone so is the record.
func TestStateChangesAreRecorded(t *testing.T) {
	t.Parallel()
	s, keys := open(t), auditKeys(t)
	ctx := t.Context()
	jobOf := func(params any) *models.Job {
		text, err := json.Marshal(params)
		require.NoError(t, err)
		return &models.Job{ID: models.NewID(), ClientID: "payer", Operation: models.OpGroupExport, RequestDigest: []byte(models.NewID()), State: models.StateAccepted, Params: text, CreatedAt: time.Now()}
	}
	group := models.NewID()
	entry := &trail.Entry{Event: trail.New(time.Now())}
	entry.From(trail.ActorClient, "payer")
	entry.Action, entry.Source = "group-export", "192.0.2.7"
	job := jobOf(models.ExportParams{GroupID: group, Patients: []string{"p1"}, Types: []int16{1, 2}})
	_, created, err := s.CreateJob(trail.With(ctx, entry), job, 0)
	require.NoError(t, err)
	require.True(t, created)
	require.True(t, entry.Written)
	other := &trail.Entry{Event: trail.New(time.Now())}
	_, created, err = s.CreateJob(trail.With(ctx, other), job, 0) // the same again
	require.NoError(t, err)
	require.False(t, created)
	require.False(t, other.Written)

	_, err = s.StartJob(ctx, job.ID, "planning", time.Now())
	require.NoError(t, err)
	done, err := s.CompleteJob(ctx, job.ID, nil, models.Accounting{Members: 3, Exported: 2, Withheld: 1}, time.Now(), time.Now().Add(time.Hour), nil)
	require.NoError(t, err)
	require.True(t, done)
	require.NoError(t, s.DeleteJob(ctx, job.ID, time.Now()))
	require.NoError(t, s.DeleteJob(ctx, job.ID, time.Now()))

	failed := jobOf(models.ExportParams{})
	_, _, err = s.CreateJob(ctx, failed, 0)
	require.NoError(t, err)
	require.NoError(t, s.FailJob(ctx, failed.ID, models.StateFailed, "no", time.Now()))
	require.NoError(t, s.FailJob(ctx, failed.ID, models.StateFailed, "no", time.Now()))

	match := jobOf(models.MatchParams{Members: 4})
	match.Operation = models.OpBulkMemberMatch
	_, _, err = s.CreateMatch(ctx, match, []store.Slice{{Members: 4, Length: 1}}, 0)
	require.NoError(t, err)
	found, held := uuid.New(), uuid.New()
	outcomes := []store.Outcome{{Idx: 0, Outcome: store.OutcomeMatched, Member: &found}, {Idx: 1, Outcome: store.OutcomeConstrained, Member: &held}, {Idx: 2, Outcome: store.OutcomeNoMatch}, {Idx: 3, Outcome: store.OutcomeNoMatch}}
	require.NoError(t, s.SaveOutcomes(ctx, match.ID, 0, outcomes))
	require.NoError(t, s.SaveOutcomes(ctx, match.ID, 0, outcomes))

	// A job that is not recorded is not accepted.
	_, err = s.Pool.Exec(ctx, `ALTER TABLE audit_inbox ADD CONSTRAINT broken CHECK (client <> 'unlucky')`)
	require.NoError(t, err)
	unlucky := jobOf(models.ExportParams{})
	unlucky.ClientID = "unlucky"
	_, _, err = s.CreateJob(ctx, unlucky, 0)
	require.Error(t, err)
	_, err = s.Job(ctx, unlucky.ID)
	require.Equal(t, models.KindNotFound, models.KindOf(err))

	_, _, err = s.SealAudit(ctx, keys, 100)
	require.NoError(t, err)
	var got []string
	records := map[string]trail.Event{}
	require.NoError(t, s.EachAudit(ctx, store.AuditQuery{}, func(r *trail.Record) error {
		got = append(got, fmt.Sprintf("%s %s %s", r.Action, r.Outcome, r.Counts.Text()))
		records[r.Action] = r.Event
		return nil
	}))
	require.ElementsMatch(t, []string{
		`group-export success {"patients":1,"types":2}`, `end-job success {"exported":2,"files":0,"members":3,"withheld":1}`, "delete-job success ",
		"group-export success ", `end-job failed {"files":0}`, `bulk-member-match success {"members":4}`,
		`match-matched success {"members":1}`, `match-constrained success {"members":1}`, `match-nomatch success {"members":2}`,
	}, got)
	require.Equal(t, []uuid.UUID{found}, records["match-matched"].Members)
	require.Equal(t, []uuid.UUID{held}, records["match-constrained"].Members)
	require.Equal(t, match.ID, records["match-matched"].Job)
	all, err := s.Audit(ctx, store.AuditQuery{Group: group}, 0, 10)
	require.NoError(t, err)
	require.Len(t, all, 3)
	first := all[2]
	require.Equal(t, []any{entry.ID, "192.0.2.7", trail.ActorClient, job.ID, []uuid.UUID{models.MemberID("p1")}},
		[]any{first.ID, first.Source, first.Kind, first.Job, first.Members})
	require.Equal(t, trail.ActorSystem, all[1].Kind)
	require.Equal(t, "payer", all[1].Client)
}

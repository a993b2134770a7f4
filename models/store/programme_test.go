package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

const (
	doctorNPI = "1234567893"
	clinicNPI = "1982947230"
)

// hold makes members whose Patients are held.
func hold(t testing.TB, s *store.Store, patients ...string) []uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	for _, p := range patients {
		exec(t, s, `INSERT INTO members (id, patient_id, present, updated_at) VALUES ($1, $2, true, $3)`, models.MemberID(p), p, noon)
		ids = append(ids, models.MemberID(p))
	}
	return ids
}

func newOptOut(member uuid.UUID, scope models.OptOutScope, target string) models.OptOut {
	return models.OptOut{
		ID: models.NewID(), Member: member, Scope: scope, Target: target, Reason: models.ReasonPrivacy, Start: noon,
		Source: models.OptOutByAdmin, CreatedBy: "test", CreatedAt: noon,
	}
}

func TestOptOuts(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	m := hold(t, s, "a", "b")

	first, created, err := s.CreateOptOut(ctx, newOptOut(m[0], models.OptOutProvider, models.NPISystem+"|"+doctorNPI))
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, doctorNPI, first.Target)
	require.Nil(t, first.End)

	again, created, err := s.CreateOptOut(ctx, newOptOut(m[0], models.OptOutProvider, doctorNPI))
	require.NoError(t, err)
	require.False(t, created, "it says the same")
	require.Equal(t, first.ID, again.ID)

	repeat := newOptOut(m[0], models.OptOutGlobal, "")
	repeat.ID = first.ID
	_, _, err = s.CreateOptOut(ctx, repeat)
	require.Equal(t, models.KindConflict, models.KindOf(err), "the key stands for another")
	for _, change := range []func(*models.OptOut){
		func(o *models.OptOut) { o.End = new(noon.Add(time.Hour)) },
		func(o *models.OptOut) { o.Start = noon.Add(-time.Hour) },
	} {
		other := newOptOut(m[0], models.OptOutProvider, doctorNPI)
		other.ID = first.ID
		change(&other)
		_, _, err = s.CreateOptOut(ctx, other)
		require.Equal(t, models.KindConflict, models.KindOf(err), "or for another time")
	}
	late := newOptOut(m[0], models.OptOutProvider, doctorNPI)
	late.ID, late.Start, late.CreatedAt = first.ID, noon.Add(time.Minute), noon.Add(time.Minute)
	same, created, err := s.CreateOptOut(ctx, late)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, first, same, "sent again, without a start")

	_, _, err = s.CreateOptOut(ctx, newOptOut(models.MemberID("nobody"), models.OptOutGlobal, ""))
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	_, _, err = s.CreateOptOut(ctx, newOptOut(m[0], "total", ""))
	require.Equal(t, models.KindUnprocessable, models.KindOf(err))

	of, err := s.OptOutsOf(ctx, m)
	require.NoError(t, err)
	require.Len(t, of, 1)
	require.Equal(t, []models.OptOut{first}, of[m[0]])

	revoked, err := s.RevokeOptOut(ctx, first.ID, noon.Add(time.Hour), "somebody", models.RevokedByMember)
	require.NoError(t, err)
	require.Equal(t, noon.Add(time.Hour), revoked.RevokedAt.UTC())
	twice, err := s.RevokeOptOut(ctx, first.ID, noon.Add(2*time.Hour), "somebody else", models.RevokedAsError)
	require.NoError(t, err)
	require.Equal(t, revoked, twice, "history does not change")
	_, err = s.RevokeOptOut(ctx, models.NewID(), noon, "x", models.RevokedAsError)
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	of, err = s.OptOutsOf(ctx, m)
	require.NoError(t, err)
	require.Empty(t, of)

	_, created, err = s.CreateOptOut(ctx, newOptOut(m[0], models.OptOutProvider, doctorNPI))
	require.NoError(t, err)
	require.True(t, created, "the one before is revoked")
	page, err := s.OptOuts(ctx, store.OptOutFilter{Member: &m[0]}, 10)
	require.NoError(t, err)
	require.Len(t, page, 2)
	page, err = s.OptOuts(ctx, store.OptOutFilter{Member: &m[0], Revoked: new(true)}, 10)
	require.NoError(t, err)
	require.Equal(t, []models.OptOut{revoked}, page)
	page, err = s.OptOuts(ctx, store.OptOutFilter{After: page[0].ID}, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)

	var listed []string
	require.NoError(t, s.EachOptOut(ctx, models.OptOutProvider, noon, func(_ models.OptOut, patient string) error {
		listed = append(listed, patient)
		return nil
	}))
	require.Equal(t, []string{"a"}, listed)
	n, err := s.CountOptOuts(ctx, models.OptOutProvider, noon)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// TestOptOutsInASnapshot: data are of the export's instant, opt-outs of the moment the chunk is read.
func TestOptOutsInASnapshot(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	m := hold(t, s, "a")
	require.NoError(t, s.InSnapshot(ctx, noon.AddDate(-1, 0, 0), func(v *store.Snapshot) error {
		of, err := v.OptOutsOf(m)
		require.NoError(t, err)
		require.Empty(t, of)
		return nil
	}))
	_, _, err := s.CreateOptOut(ctx, newOptOut(m[0], models.OptOutGlobal, ""))
	require.NoError(t, err)
	require.NoError(t, s.InSnapshot(ctx, noon.AddDate(-1, 0, 0), func(v *store.Snapshot) error {
		of, err := v.OptOutsOf(m)
		require.NoError(t, err)
		require.Len(t, of[m[0]], 1)
		return nil
	}))
}

func TestRelationships(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	m := hold(t, s, "a", "b")
	rel := models.Relationship{
		ID: models.NewID(), Member: m[0], NPI: doctorNPI, Type: models.RelationshipActive, Start: noon,
		Source: models.RelationshipByAdmin, CreatedBy: "test",
	}
	first, err := s.PutRelationship(ctx, rel)
	require.NoError(t, err)
	rel.ID, rel.End = models.NewID(), new(noon.AddDate(1, 0, 0))
	second, err := s.PutRelationship(ctx, rel)
	require.NoError(t, err)
	require.Equal(t, first.ID, second.ID, "it is the same relationship with another period")
	require.NotNil(t, second.End)

	of, err := s.RelationshipsOf(ctx, m, []string{doctorNPI, clinicNPI})
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID][]models.Relationship{m[0]: {second}}, of)
	of, err = s.RelationshipsOf(ctx, m, []string{clinicNPI})
	require.NoError(t, err)
	require.Empty(t, of)

	rel.Member = models.MemberID("nobody")
	_, err = s.PutRelationship(ctx, rel)
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	require.Equal(t, models.KindConflict, models.KindOf(s.DeleteRelationship(ctx, first.ID, &first.UpdatedAt)), "it has changed")
	require.NoError(t, s.DeleteRelationship(ctx, first.ID, &second.UpdatedAt))
	require.Equal(t, models.KindNotFound, models.KindOf(s.DeleteRelationship(ctx, first.ID, nil)))
}

func TestLinesOfBusiness(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	lines, err := s.Lines(ctx)
	require.NoError(t, err)
	require.Len(t, lines, 1)
	require.Equal(t, models.LineOfBusiness{
		Code: "default", Name: "Everybody else", Payers: []string{}, Selectors: []models.LineSelector{}, HideOptOuts: true,
		Treatment: models.TreatmentByBoth, UpdatedAt: lines[0].UpdatedAt,
	}, lines[0], "the strictest")
	l := models.LineOfBusiness{
		Code: "ma", Payers: []string{"urn:x|1"}, Selectors: []models.LineSelector{{Class: "plan|GOLD"}}, Treatment: models.TreatmentByList, Lookback: 90,
	}
	_, err = s.PutLine(ctx, l, &noon)
	require.Equal(t, models.KindConflict, models.KindOf(err), "it is not there")
	stored, err := s.PutLine(ctx, l, nil)
	require.NoError(t, err)
	l.UpdatedAt = stored.UpdatedAt
	require.Equal(t, l, stored)
	_, err = s.PutLine(ctx, l, &noon)
	require.Equal(t, models.KindConflict, models.KindOf(err))
	_, err = s.PutLine(ctx, l, &stored.UpdatedAt)
	require.NoError(t, err)
	require.NoError(t, s.DeleteLine(ctx, "ma", nil))
	require.Equal(t, models.KindNotFound, models.KindOf(s.DeleteLine(ctx, "ma", nil)))
	require.Equal(t, models.KindConflict, models.KindOf(s.DeleteLine(ctx, "default", nil)))
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	p, err := s.UpsertProvider(ctx, models.Provider{NPI: doctorNPI, Kind: models.ProviderIndividual, Active: true, Taxonomies: []string{"207R00000X"}})
	require.NoError(t, err)
	known, err := s.Directory(ctx, []string{doctorNPI, clinicNPI})
	require.NoError(t, err)
	require.Len(t, known, 1)
	require.Equal(t, p.Taxonomies, known[doctorNPI].Taxonomies)
	changed := p
	changed.InNetwork = true
	changed, err = s.PutProvider(ctx, changed, p.UpdatedAt)
	require.NoError(t, err)
	_, err = s.PutProvider(ctx, changed, p.UpdatedAt)
	require.Equal(t, models.KindConflict, models.KindOf(err))
	page, err := s.Providers(ctx, store.ProviderFilter{InNetwork: new(true), Taxonomy: "207R00000X"}, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, models.KindConflict, models.KindOf(s.DeleteProvider(ctx, doctorNPI, &p.UpdatedAt)))
	require.NoError(t, s.DeleteProvider(ctx, doctorNPI, nil))
	require.Equal(t, models.KindNotFound, models.KindOf(s.DeleteProvider(ctx, doctorNPI, nil)))
}

func newLoad(t testing.TB, s *store.Store, kind models.ListKind, dry bool) string {
	t.Helper()
	l := &models.ListImport{
		ID: models.NewID(), Kind: kind, Format: models.ListCSV, DryRun: dry, State: models.StateAccepted, CreatedBy: "test", CreatedAt: noon,
	}
	require.NoError(t, s.CreateListImport(t.Context(), l))
	_, err := s.StartListImport(t.Context(), l.ID)
	require.NoError(t, err)
	return l.ID
}

func TestLoads(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	m := append(hold(t, s, "a", "b"), models.MemberID("nobody"))
	optOuts := store.Batch{From: 0, To: 5, Lines: []int64{2, 3, 4}, Rejects: []models.ListReject{{Line: 5, Field: "scope", Reason: "must be one"}}}
	rels := store.Batch{From: 0, To: 4, Lines: []int64{2, 3, 4}}
	for _, member := range m {
		optOuts.OptOuts = append(optOuts.OptOuts, newOptOut(member, models.OptOutGlobal, ""))
		rels.Relationships = append(rels.Relationships, models.Relationship{
			ID: models.NewID(), Member: member, NPI: doctorNPI, Type: models.RelationshipActive, Start: noon, Source: models.RelationshipByImport, CreatedBy: "test",
		})
	}

	dry := newLoad(t, s, models.ListOptOuts, true)
	got, err := s.MergeBatch(ctx, dry, optOuts)
	require.NoError(t, err)
	want := models.ListCounts{Added: 2, Rejected: 2}
	require.Equal(t, want, got.ListCounts)
	require.Zero(t, count(t, s, "opt_outs"), "it is a dry run")

	id := newLoad(t, s, models.ListOptOuts, false)
	for range 2 { // an attempt whose answer got lost is made again
		got, err = s.MergeBatch(ctx, id, optOuts)
		require.NoError(t, err)
		require.Equal(t, want, got.ListCounts)
		require.Equal(t, int64(5), got.Line)
	}
	require.Equal(t, 2, count(t, s, "opt_outs"))
	rejects, err := s.ListRejects(ctx, id, 0, 10)
	require.NoError(t, err)
	require.Equal(t, []models.ListReject{{Line: 4, Field: "patient", Reason: "nothing is held under it"}, {Line: 5, Field: "scope", Reason: "must be one"}}, rejects)
	again := newLoad(t, s, models.ListOptOuts, false)
	for i := range optOuts.OptOuts {
		optOuts.OptOuts[i].ID = models.NewID()
	}
	got, err = s.MergeBatch(ctx, again, optOuts)
	require.NoError(t, err)
	require.Equal(t, models.ListCounts{Unchanged: 2, Rejected: 2}, got.ListCounts)

	require.NoError(t, s.FinishListImport(ctx, id, models.StateCancelled, "", noon))
	_, err = s.MergeBatch(ctx, id, store.Batch{From: 5, To: 6})
	require.Equal(t, models.KindConflict, models.KindOf(err))

	got, err = s.MergeBatch(ctx, newLoad(t, s, models.ListRelationships, false), rels)
	require.NoError(t, err)
	require.Equal(t, models.ListCounts{Added: 2, Rejected: 1}, got.ListCounts)
	rels.Relationships[0].End = new(noon.AddDate(1, 0, 0))
	rels.Relationships[0].ID, rels.Relationships[1].ID = models.NewID(), models.NewID()
	got, err = s.MergeBatch(ctx, newLoad(t, s, models.ListRelationships, false), rels)
	require.NoError(t, err)
	require.Equal(t, models.ListCounts{Changed: 1, Unchanged: 1, Rejected: 1}, got.ListCounts)

	people := store.Batch{To: 3, Lines: []int64{2, 3}, Providers: []models.Provider{
		{NPI: doctorNPI, Kind: models.ProviderIndividual, Active: true, Taxonomies: []string{"207R00000X", "2084P0800X"}},
		{NPI: clinicNPI, Kind: models.ProviderOrganization, Active: false},
	}}
	got, err = s.MergeBatch(ctx, newLoad(t, s, models.ListProviders, false), people)
	require.NoError(t, err)
	require.Equal(t, models.ListCounts{Added: 2}, got.ListCounts)
	network := store.Batch{To: 3, Lines: []int64{2, 3}, Network: true, Providers: []models.Provider{
		{NPI: doctorNPI, InNetwork: true, Organizations: []string{clinicNPI}}, {NPI: "1245319599", InNetwork: true},
	}}
	got, err = s.MergeBatch(ctx, newLoad(t, s, models.ListNetwork, false), network)
	require.NoError(t, err)
	require.Equal(t, models.ListCounts{Changed: 1, Rejected: 1}, got.ListCounts)
	got, err = s.MergeBatch(ctx, newLoad(t, s, models.ListProviders, false), people)
	require.NoError(t, err)
	require.Equal(t, models.ListCounts{Unchanged: 2}, got.ListCounts, "the file of all providers says nothing of contracts")
	p, err := s.Provider(ctx, doctorNPI)
	require.NoError(t, err)
	require.True(t, p.InNetwork)
	require.Equal(t, []string{clinicNPI}, p.Organizations)
	require.Equal(t, []string{"207R00000X", "2084P0800X"}, p.Taxonomies)
}

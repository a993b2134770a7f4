package admin_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

func TestExplainOutcome(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	job := &models.Job{
		ID: models.NewID(), ClientID: "c", Operation: models.OpBulkMemberMatch, RequestDigest: []byte{1}, State: models.StateAccepted,
		Params: json.RawMessage(`{}`), CreatedAt: time.Now(),
	}
	_, _, err := a.Store.CreateMatch(t.Context(), job, []store.Slice{{Members: 2, Length: 1}}, 0)
	require.NoError(t, err)
	require.NoError(t, a.Store.LoadParts(t.Context(), []string{"ours"}, nil, time.Now()))
	member := models.MemberID("ours")
	person := match.Person{Families: []string{"quillfeather"}, Givens: []string{"zebulon"}, BirthDate: new(int32(1819)), Gender: "male"}
	decision := match.Default().Decide(person, []match.Candidate{{Member: member, Person: person}, {Member: uuid.UUID{1}, Person: match.Person{Gender: "male"}}})
	require.True(t, decision.Matched)
	require.NoError(t, a.Store.SaveOutcomes(t.Context(), job.ID, 0, []store.Outcome{
		{Idx: 0, Outcome: store.OutcomeMatched, Reason: "regular", Member: &member, Grade: string(decision.Grade), Weights: 3, Explanation: decision.Explain()},
		{Idx: 1, Outcome: store.OutcomeNoMatch, Reason: "patient-unreadable"},
	}))
	path := "/admin/jobs/" + job.ID + "/outcomes/"
	answer := a.Do(t, http.MethodGet, path+"0", "", bearer)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	var view struct {
		Outcome, Patient, Grade string
		Weights, Candidates     int
		Best, RunnerUp          struct {
			Patient, Reason string
			Fields          []map[string]any
			Rivals          []map[string]any
		}
	}
	require.NoError(t, json.Unmarshal([]byte(answer.Text), &view))
	require.Equal(t, "matched", view.Outcome)
	require.Equal(t, "ours", view.Patient)
	require.Equal(t, "match", view.Grade)
	require.Equal(t, 3, view.Weights)
	require.Equal(t, 2, view.Candidates)
	require.Equal(t, "ours", view.Best.Patient)
	require.Equal(t, "matched", view.Best.Reason)
	require.Equal(t, "given-name", view.Best.Fields[0]["field"])
	require.Equal(t, "exact", view.Best.Fields[0]["level"])
	require.Len(t, view.Best.Rivals, 4)
	require.Equal(t, "birth-date-conflict", view.RunnerUp.Reason)
	require.NotContains(t, answer.Text, "zebulon")

	answer = a.Do(t, http.MethodGet, path+"1", "", bearer)
	require.Contains(t, answer.Text, "patient-unreadable")
	require.NotContains(t, answer.Text, "best")
	for at, status := range map[string]int{path + "2": 404, path + "-1": 422, path + "x": 422, "/admin/jobs/" + models.NewID() + "/outcomes/0": 404, "/admin/jobs/x/outcomes/0": 404} {
		require.Equal(t, status, a.Do(t, http.MethodGet, at, "", bearer).StatusCode, at)
	}
	require.Equal(t, http.StatusUnauthorized, a.Do(t, http.MethodGet, path+"0", "").StatusCode)
}

func TestMatcher(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	require.Contains(t, a.Do(t, http.MethodGet, "/admin/matcher", "", bearer).Text, `"version":0`)
	_, err := a.Store.AddMatchModel(t.Context(), &store.MatchModel{TrainedAt: time.Now(), Members: 9, Pairs: 5, Model: []byte("{}")})
	require.NoError(t, err)
	require.Contains(t, a.Do(t, http.MethodGet, "/admin/matcher", "", bearer).Text, `"members":9,"pairs":5`)
	for range 2 {
		require.Equal(t, http.StatusAccepted, a.Do(t, http.MethodPost, "/admin/matcher/training", "", bearer).StatusCode, "one that runs already is as good")
	}
}

package conformance

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	// The processes under test are made of these: without them "go test" would take a result from its cache although they
	// have changed.
	_ "pdexbulk/api/server"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/stack/postgres"
	_ "pdexbulk/worker/serve"
)

// TestConformance has a test named after each requirement.
func TestConformance(t *testing.T) {
	o, err := FromEnv()
	require.NoError(t, err)
	need(t, o)
	o.Only, o.Out = asked(t), t.Output()
	results, err := Run(t.Context(), o)
	require.NoError(t, err)
	for _, r := range results {
		t.Run(r.ID, func(t *testing.T) {
			switch r.Outcome {
			case Fail:
				t.Fatal(r.Reason)
			case Todo, NA:
				t.Skip(string(r.Outcome), r.Reason)
			case Pass:
				t.Log(r.Reason)
			}
		})
	}
}

// need skips what cannot run here, and fails it on CI.
func need(t *testing.T, o Options) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts the whole product: skipped with -short")
	}
	if o.BaseURL != "" {
		return
	}
	root, err := stack.Root()
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(root, "dev", "bin", "temporal"))
	missing := ""
	if err != nil {
		missing = "there is no dev/bin/temporal: run make tools"
	}
	if len(postgres.Find(t.Context())) == 0 {
		missing = "no Postgres is installed"
	}
	switch {
	case missing == "":
	case os.Getenv("CI") == "true":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// asked returns the choice of requirements that -run makes.
func asked(t *testing.T) func(id string) bool {
	t.Helper()
	_, id, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	re, err := regexp.Compile(id)
	require.NoError(t, err)
	return re.MatchString
}

// TestRequirements holds the list against the document, where there is one, and the checks against the list.
func TestRequirements(t *testing.T) {
	t.Parallel()
	list, err := Requirements()
	require.NoError(t, err)
	require.NotEmpty(t, list)
	known := map[string]Requirement{}
	var ids []string
	for _, r := range list {
		require.NotContains(t, known, r.ID)
		require.Contains(t, []string{"SHALL", "SHOULD", "MAY", "SHALL-NOT", "SHOULD-NOT"}, r.Level)
		require.Positive(t, r.Issue)
		known[r.ID] = r
		ids = append(ids, r.ID)
	}
	checks, err := registry()
	require.NoError(t, err)
	for id, c := range checks {
		require.Contains(t, known, id)
		require.NotEmpty(t, c.about, id)
		require.NotNil(t, c.run, id)
	}
	for _, r := range list {
		if _, open := openIssues[r.Issue]; !open {
			require.Contains(t, checks, r.ID, "issue %d is done", r.Issue)
		}
	}

	root, err := stack.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "..", "shared", "spec", "requirements.md"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the document is not here")
	}
	require.NoError(t, err)
	row := regexp.MustCompile(`(?m)^\| ([A-Z]{2}-\d+[a-z]?) \| ([A-Z ]+)†? \|`)
	var want []string
	for _, m := range row.FindAllSubmatch(text, -1) {
		want = append(want, string(m[1]))
		require.Equal(t, strings.ReplaceAll(strings.TrimSpace(string(m[2])), " ", "-"), known[string(m[1])].Level, string(m[1]))
	}
	require.Equal(t, want, ids, "the same ids in the same order")
}

func TestUnchecked(t *testing.T) {
	t.Parallel()
	for issue := range openIssues {
		require.Equal(t, Todo, unchecked(Requirement{ID: "XX-01", Issue: issue}).Outcome)
	}
	require.Equal(t, Fail, unchecked(Requirement{ID: "XX-01", Issue: 2}).Outcome)
}

// TestJudge shows how checks end.
func TestJudge(t *testing.T) {
	t.Parallel()
	r := runner{world: &world{o: Options{Out: t.Output()}}}
	for want, run := range map[Outcome]func(*T){
		Pass: func(*T) {},
		Fail: func(t *T) { t.must(errors.New("x")) },
		NA:   func(t *T) { t.na("x") },
	} {
		outcome, reason := r.judge(t.Context(), check{about: "x", run: run})
		require.Equal(t, want, outcome)
		require.Equal(t, "x", reason)
	}
	outcome, reason := r.judge(t.Context(), check{run: func(*T) { _ = []int{}[len(os.Args)] }})
	require.Equal(t, Fail, outcome)
	require.Contains(t, reason, "index out of range")
}

func TestPrint(t *testing.T) {
	t.Parallel()
	results := []Result{
		{Requirement{ID: "KO-01"}, Pass, "a"}, {Requirement{ID: "CF-05a"}, Todo, "b"}, {Requirement{ID: "KO-02"}, NA, "c"},
	}
	require.False(t, Failed(results))
	results = append(results, Result{Requirement{ID: "KO-03"}, Fail, "d"})
	require.True(t, Failed(results))
	var out bytes.Buffer
	Print(&out, results)
	require.Equal(t, "KO-01  pass a\nCF-05a todo b\nKO-02  n/a  c\nKO-03  fail d\nconformance: pass=1 fail=1 todo=1 n/a=1\n", out.String())
}

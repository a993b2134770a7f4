package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/docs"
)

const root = "../.."

func TestReadmeShowsTheConfiguration(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	updated, err := docs.Update(readme)
	require.NoError(t, err)
	require.Equal(t, string(updated), string(readme), `the configuration in the README is out of date: run "make gen"`)
}

func TestParquetPageIsCurrent(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("parquet.md")
	require.NoError(t, err)
	require.Equal(t, docs.Parquet(), string(page), `parquet.md is out of date: run "make gen"`)
}

func TestUpdateNeedsItsPlace(t *testing.T) {
	t.Parallel()
	_, err := docs.Update([]byte("# A README without tables\n"))
	require.Error(t, err)
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	more, err := filepath.Glob("adr/*.md")
	require.NoError(t, err)
	pages = append(append(pages, more...), filepath.Join(root, "README.md"))
	require.Greater(t, len(pages), 10)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			_, err := os.Stat(filepath.Join(filepath.Dir(page), m[1]))
			require.NoError(t, err, "%s links to %s", page, m[1])
		}
	}
}

var target = regexp.MustCompile("`make ([a-z-]+)")

func TestMakeTargetsExist(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	for _, page := range []string{filepath.Join(root, "README.md"), "contributing.md", "runbook.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range target.FindAllStringSubmatch(string(text), -1) {
			require.Regexp(t, `(?m)^`+m[1]+`:.*## `, string(makefile), "%s names make %s", page, m[1])
		}
	}
}

var (
	named    = regexp.MustCompile("`((?:api|models|worker|activities|workflows)(?:/[a-z]+)?)`")
	settings = regexp.MustCompile("`(PDEX_[A-Z_]+)`")
)

// What the threat model says something stands in, is there.
func TestThreatModelNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("threat-model.md")
	require.NoError(t, err)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	packages := named.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(packages), 30)
	for _, m := range packages {
		sources, err := filepath.Glob(filepath.Join(root, m[1], "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, sources, m[1])
	}
	variables := settings.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(variables), 20)
	for _, m := range variables {
		require.Contains(t, string(readme), "| `"+m[1]+"` |", m[1])
	}
}

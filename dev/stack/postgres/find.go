// Package postgres runs a private Postgres server as a child process: it finds the binaries, makes the cluster, starts
// the server with settings for a development machine or for tests, and stops it. It needs neither root nor a service
// manager; run by root it drops to another user, because Postgres refuses to be root.
//
// It is not for production: one superuser and one application role share a password that lies beside the data.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pdexbulk/dev/stack/folder"
)

// MinMajor is the oldest major version that is used.
const MinMajor = 15

// ErrNoBinaries says that no usable Postgres is installed.
var ErrNoBinaries = errors.New("no usable Postgres is installed")

// Binaries is one installed Postgres.
type Binaries struct {
	Dir          string // holds postgres and initdb
	Major, Minor int
}

// String returns the version, such as "15.18".
func (b Binaries) String() string { return fmt.Sprintf("%d.%d", b.Major, b.Minor) }

// places are where packages put Postgres: Debian, Red Hat, Homebrew on both processors, Postgres.app.
var places = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// Find returns the installed versions from MinMajor on, newest first: those on PATH and those where packages put them.
// It is empty when there is none.
func Find(ctx context.Context) []Binaries {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, place := range places {
		found, _ := filepath.Glob(place) // only a malformed pattern errs
		dirs = append(dirs, found...)
	}
	var found []Binaries
	seen := map[string]bool{}
	for _, dir := range dirs {
		// PATH often holds links to the very folder a package uses.
		path, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil || seen[path] {
			continue
		}
		seen[path] = true
		if b, err := Inspect(ctx, filepath.Dir(path)); err == nil && b.Major >= MinMajor {
			found = append(found, b)
		}
	}
	slices.SortStableFunc(found, func(a, b Binaries) int {
		return cmp.Or(b.Major-a.Major, b.Minor-a.Minor)
	})
	return found
}

// Inspect reads the version of the Postgres in dir. It errs when dir lacks postgres or initdb, or when this process is
// root and the user the server would run as cannot reach them.
func Inspect(ctx context.Context, dir string) (Binaries, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return Binaries{}, fmt.Errorf("look up %s: %w", name, err)
		}
	}
	if os.Geteuid() == 0 && !folder.Reachable(dir) {
		return Binaries{}, fmt.Errorf("%s is out of reach of other users", dir)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("ask postgres for its version: %w", err)
	}
	major, minor, err := parseVersion(string(out))
	if err != nil {
		return Binaries{}, err
	}
	return Binaries{Dir: dir, Major: major, Minor: minor}, nil
}

var version = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d{1,4})(?:\.(\d{1,4}))?`)

// parseVersion reads what "postgres --version" prints: "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)". A beta,
// "19beta1", has minor version 0.
func parseVersion(out string) (major, minor int, err error) {
	m := version.FindStringSubmatch(out)
	if m == nil {
		return 0, 0, errors.New("postgres printed no version")
	}
	// At most four digits: neither can overflow. A missing minor version is 0.
	major, _ = strconv.Atoi(m[1])
	minor, _ = strconv.Atoi(m[2])
	return major, minor, nil
}

// Choose picks the binaries for the cluster in dir: the newest, or when dir holds data already the newest of the major
// version that made them. It returns ErrNoBinaries when found is empty.
func Choose(found []Binaries, dir string) (Binaries, error) {
	if len(found) == 0 {
		return Binaries{}, ErrNoBinaries
	}
	made, err := os.ReadFile(filepath.Join(dir, "data", "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return found[0], nil
	}
	if err != nil {
		return Binaries{}, fmt.Errorf("read the version of the data: %w", err)
	}
	major := strings.TrimSpace(string(made))
	for _, b := range found {
		if strconv.Itoa(b.Major) == major {
			return b, nil
		}
	}
	return Binaries{}, fmt.Errorf("the data in %s were made by Postgres %s, which is not installed: install it, or remove the folder to start afresh", dir, major)
}

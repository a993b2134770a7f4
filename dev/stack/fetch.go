package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"

	"pdexbulk/dev/stack/child"
	"pdexbulk/dev/stack/folder"
	"pdexbulk/dev/stack/postgres"
)

// temporalModule builds the Temporal command line tool with its development server (server 1.29, UI 2.42). Later
// versions cannot be installed with "go install".
const temporalModule = "github.com/temporalio/cli/cmd/temporal@v1.5.1"

// temporalBinary finds a usable temporal on PATH or in dev/bin, and builds it into dev/bin when there is none.
func (s *Stack) temporalBinary(ctx context.Context) (string, error) {
	if path, err := exec.LookPath("temporal"); err == nil && temporalUsable(ctx, path) {
		return filepath.Abs(path)
	}
	bin, err := s.binDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(bin, "temporal")
	if temporalUsable(ctx, path) {
		return path, nil
	}
	lock, err := folder.WaitLock(ctx, filepath.Join(bin, ".temporal.lock"), func() {
		s.say("waiting for another process to build the Temporal development server")
	})
	if err != nil {
		return "", fmt.Errorf("wait for the build of temporal: %w", err)
	}
	defer lock.Close() // nothing was written to it
	if temporalUsable(ctx, path) {
		return path, nil // built while we waited
	}
	if err := s.buildTemporal(ctx, bin); err != nil {
		return "", fmt.Errorf("build temporal (or install it from https://temporal.io/setup/install-temporal-cli, or set PDEX_TEMPORAL_ADDRESS): %w", err)
	}
	return path, nil
}

// binDir is where tools are kept: dev/bin in the repository or, outside of it, a folder in the state folder.
func (s *Stack) binDir() (string, error) {
	bin := filepath.Join(s.Dir, "bin")
	if root, err := Root(); err == nil {
		bin = filepath.Join(root, "dev", "bin")
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("make folder for tools: %w", err)
	}
	return bin, nil
}

// temporalUsable reports whether path is a temporal that can do what we ask of it.
func temporalUsable(ctx context.Context, path string) bool {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	return err == nil && usableVersion(string(out))
}

var temporalVersion = regexp.MustCompile(`^temporal version (\d{1,4})\.(\d{1,4})\.\d{1,4}\S* \(Server (\d{1,4})\.(\d{1,4})\.`)

// usableVersion reads what "temporal --version" prints, "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)", and wants
// 1.5 or later. What "go install" builds calls itself 0.0.0-DEV and is judged by its server: 1.29 or later.
func usableVersion(out string) bool {
	m := temporalVersion.FindStringSubmatch(out)
	if m == nil {
		return false
	}
	var n [5]int
	for i := 1; i < len(n); i++ {
		n[i], _ = strconv.Atoi(m[i]) // at most four digits
	}
	if n[1] == 0 && n[2] == 0 {
		return n[3] > 1 || n[3] == 1 && n[4] >= 29
	}
	return n[1] > 1 || n[1] == 1 && n[2] >= 5
}

// buildTemporal builds the pinned module into bin. A build that is cut short leaves no binary.
func (s *Stack) buildTemporal(ctx context.Context, bin string) error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("find the go tool: %w", err)
	}
	work, err := os.MkdirTemp(bin, ".build-")
	if err != nil {
		return fmt.Errorf("make build folder: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // nothing in it counts
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	defer r.Close() // only read
	p, err := child.Start(child.Command{
		Name: "go install", Path: goTool, Args: []string{"install", "-v", "-trimpath", "-ldflags=-s -w", temporalModule}, Dir: work,
		Env:    append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+work, "GOFLAGS=", "GOWORK=off", "GOOS=", "GOARCH="),
		Stdout: w, Stderr: w,
	})
	_ = w.Close() // the child has its own
	if err != nil {
		return err
	}
	if err := s.followBuild(ctx, p, r); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(work, "temporal"), filepath.Join(bin, "temporal")); err != nil {
		return fmt.Errorf("keep temporal: %w", err)
	}
	return nil
}

// followBuild says every few seconds how far the build is, and returns when it ends.
func (s *Stack) followBuild(ctx context.Context, p *child.Process, output io.Reader) error {
	var downloaded, compiled atomic.Int64
	last := make(chan string, 1)
	go func() {
		var complaint string
		for lines := bufio.NewScanner(output); lines.Scan(); {
			switch line := lines.Text(); {
			case strings.HasPrefix(line, "go: downloading "):
				downloaded.Add(1)
			case strings.ContainsAny(line, ": "): // package paths, which -v prints, hold neither
				complaint = line
			default:
				compiled.Add(1)
			}
		}
		last <- complaint
	}()
	began := time.Now()
	s.say("building the Temporal development server; this is done once and takes some minutes")
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-p.Done():
			complaint := <-last
			if err := p.Wait(); err != nil {
				return fmt.Errorf("go install: %w: %s", err, complaint)
			}
			s.say("built the Temporal development server in %s", time.Since(began).Round(time.Second))
			return nil
		case <-ctx.Done():
			_ = p.Stop(context.WithoutCancel(ctx), syscall.SIGINT, 5*time.Second) // ctx's end is the news
			return fmt.Errorf("go install: %w", ctx.Err())
		case <-tick.C:
			s.say("building the Temporal development server: %s, %d modules downloaded, %d packages compiled",
				time.Since(began).Round(time.Second), downloaded.Load(), compiled.Load())
		}
	}
}

// postgresRelease is the release that is fetched where none is installed.
const postgresRelease = embedded.V15

// fetchPostgres fetches Postgres binaries, once, and returns where they are.
func (s *Stack) fetchPostgres(ctx context.Context) (postgres.Binaries, error) {
	tools, err := s.binDir()
	if err != nil {
		return postgres.Binaries{}, err
	}
	if os.Geteuid() == 0 && !folder.Reachable(tools) {
		return postgres.Binaries{}, fmt.Errorf("no user but root, as whom Postgres refuses to run, can reach %s", tools)
	}
	home := filepath.Join(tools, "postgres-"+string(postgresRelease))
	lock, err := folder.WaitLock(ctx, home+".lock", func() { s.say("waiting for another process to fetch Postgres") })
	if err != nil {
		return postgres.Binaries{}, fmt.Errorf("wait for the download of Postgres: %w", err)
	}
	defer lock.Close() // nothing was written to it
	if bin, err := postgres.Inspect(ctx, filepath.Join(home, "bin")); err == nil {
		return bin, nil
	}
	s.say("no Postgres is installed: fetching %s; this is done once", postgresRelease)
	work, err := os.MkdirTemp(tools, ".fetch-")
	if err != nil {
		return postgres.Binaries{}, fmt.Errorf("make download folder: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // nothing in it counts
	if err := download(work); err != nil {
		return postgres.Binaries{}, err
	}
	if err := errors.Join(os.RemoveAll(home), os.Rename(filepath.Join(work, "postgres"), home)); err != nil {
		return postgres.Binaries{}, fmt.Errorf("keep Postgres: %w", err)
	}
	return postgres.Inspect(ctx, filepath.Join(home, "bin"))
}

// download has embedded-postgres fetch and unpack its binaries into work/postgres. The library cannot fetch without
// starting, and what it starts would outlive us when we are killed. So it is given a locale that does not exist:
// initdb, which it runs after unpacking, then refuses, and nothing ever runs.
func download(work string) error {
	port, err := port(0, 0, "")
	if err != nil {
		return err
	}
	home := filepath.Join(work, "postgres")
	err = embedded.NewDatabase(embedded.DefaultConfig().
		Version(postgresRelease).
		Port(uint32(port)). // a port
		CachePath(filepath.Join(work, "cache")).
		RuntimePath(filepath.Join(work, "run")).
		BinariesPath(home).
		Locale("none.such").
		Logger(io.Discard)).Start()
	if _, statErr := os.Stat(filepath.Join(home, "bin", "initdb")); statErr != nil {
		return fmt.Errorf("download Postgres: %w", errors.Join(err, statErr))
	}
	return os.Chmod(home, 0o755) // the server's user must get in
}

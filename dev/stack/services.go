package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"pdexbulk/dev/stack/child"
	"pdexbulk/dev/stack/folder"
	"pdexbulk/dev/stack/postgres"
)

// The ports a kept stack prefers: Temporal's own, so that its command line tool needs no flags, and for Postgres one
// that a system's own server does not want.
const (
	usualPostgres   = 54320
	usualTemporal   = 7233
	usualTemporalUI = 8233
)

// startPostgres starts Postgres on this stack's folder.
func (s *Stack) startPostgres(ctx context.Context, o Options) error {
	dir := s.postgresDir()
	bin, err := s.postgresBinaries(ctx, dir)
	if err != nil {
		return err
	}
	password, err := s.password()
	if err != nil {
		return err
	}
	log, err := openLog(s.logPath("postgres"))
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own
	usual := usualPostgres
	if s.ephemeral || o.AnyPorts {
		usual = 0
	}
	for attempt := 1; ; attempt++ {
		port, err := port(o.PostgresPort, usual, "PDEX_POSTGRES_PORT")
		if err != nil {
			return err
		}
		s.postgres, err = postgres.Start(ctx, postgres.Config{
			Binaries: bin, Dir: dir, Password: password, Ephemeral: s.ephemeral, Port: port,
			SharedBuffers: o.SharedBuffers, Log: log, Inherit: []*os.File{s.hold},
		})
		if err == nil {
			s.DatabaseURL = s.postgres.URL("")
			return nil
		}
		if ctx.Err() != nil || o.PostgresPort != 0 || attempt == attempts || free(port) {
			return fmt.Errorf("start postgres (log: %s): %w", s.logPath("postgres"), err)
		}
	}
}

// postgresDir is the folder of the data: in Dir, unless this is root and the user Postgres runs as cannot get there.
func (s *Stack) postgresDir() string {
	if os.Geteuid() != 0 || folder.Reachable(s.Dir) {
		return filepath.Join(s.Dir, "postgres")
	}
	dir := folder.Keyed("pdex-state-", s.Dir)
	s.say("Postgres does not run as root, and no other user can reach %s: its data are in %s", s.Dir, dir)
	return dir
}

// postgresBinaries finds Postgres, and fetches it when there is none.
func (s *Stack) postgresBinaries(ctx context.Context, dir string) (postgres.Binaries, error) {
	bin, err := postgres.Choose(postgres.Find(ctx), dir)
	if !errors.Is(err, postgres.ErrNoBinaries) {
		return bin, err
	}
	fetched, err := s.fetchPostgres(ctx)
	if err != nil {
		return postgres.Binaries{}, fmt.Errorf("%w, and fetching one did not work: install postgresql, or set PDEX_DATABASE_URL: %w", postgres.ErrNoBinaries, err)
	}
	return postgres.Choose([]postgres.Binaries{fetched}, dir)
}

// password returns the password of the stack's database, which it makes at the first start.
func (s *Stack) password() (string, error) {
	path := filepath.Join(s.Dir, "postgres.password")
	kept, err := os.ReadFile(path)
	if err == nil && len(kept) > 0 {
		return string(kept), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read database password: %w", err)
	}
	fresh := rand.Text()
	if err := os.WriteFile(path, []byte(fresh), 0o600); err != nil {
		return "", fmt.Errorf("keep database password: %w", err)
	}
	return fresh, nil
}

// startTemporal starts the Temporal development server.
func (s *Stack) startTemporal(ctx context.Context, o Options) error {
	bin, err := s.temporalBinary(ctx)
	if err != nil {
		return err
	}
	log, err := openLog(s.logPath("temporal"))
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own
	usual, usualUI := usualTemporal, usualTemporalUI
	if s.ephemeral || o.AnyPorts {
		usual, usualUI = 0, 0
	}
	for attempt := 1; ; attempt++ {
		grpc, err := port(o.TemporalPort, usual, "PDEX_TEMPORAL_PORT")
		if err != nil {
			return err
		}
		ui, err := port(o.TemporalUIPort, usualUI, "PDEX_TEMPORAL_UI_PORT")
		if err != nil {
			return err
		}
		err = s.runTemporal(ctx, o, bin, log, grpc, ui)
		if err == nil {
			return nil
		}
		// Its inner services find ports of their own, so any early end may be a port that was taken meanwhile.
		if ctx.Err() != nil || attempt == attempts || !errors.Is(err, errEnded) {
			return fmt.Errorf("start temporal (log: %s): %w", s.logPath("temporal"), err)
		}
	}
}

var errEnded = errors.New("it ended while starting")

func (s *Stack) runTemporal(ctx context.Context, o Options, bin string, log *os.File, grpc, ui int) error {
	args := []string{
		"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(grpc), "--ui-port", strconv.Itoa(ui),
		"--log-level", "error",
		// Activities of different clients take turns, the default of later servers. They do within a partition of a queue, and a
		// queue of more partitions than there are pollers would leave some waiting however short they are.
		"--dynamic-config-value", "matching.useNewMatcher=true", "--dynamic-config-value", "matching.enableFairness=true",
		"--dynamic-config-value", "matching.numTaskqueueReadPartitions=1", "--dynamic-config-value", "matching.numTaskqueueWritePartitions=1",
	}
	if !s.ephemeral {
		args = append(args, "--db-filename", filepath.Join(s.Dir, "temporal.db"))
	}
	if o.CodecEndpoint != "" {
		args = append(args, "--ui-codec-endpoint", o.CodecEndpoint)
	}
	for name, kind := range o.SearchAttributes {
		args = append(args, "--search-attribute", name+"="+kind)
	}
	p, err := child.Start(child.Command{
		Name: "temporal", Path: bin, Args: args, Dir: s.Dir, Stdout: log, Stderr: log, Inherit: []*os.File{s.hold},
	})
	if err != nil {
		return err
	}
	if err := s.temporalReady(ctx, p, address(grpc), address(ui), o.SearchAttributes); err != nil {
		_ = p.Kill() // the error that counts is why it is not ready
		<-p.Done()
		return err
	}
	s.temporal, s.TemporalAddress, s.TemporalUIURL = p, address(grpc), "http://"+address(ui)
	return nil
}

// temporalReady waits until the server has its namespace and search attributes and the UI listens.
func (s *Stack) temporalReady(ctx context.Context, p *child.Process, grpc, ui string, attributes map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pause := 5 * time.Millisecond
	for {
		err := knock(ctx, grpc) // cheaper than a client, whose own retries would wait longer than the server needs
		if err == nil {
			err = s.temporalAnswers(ctx, grpc, attributes)
		}
		if err == nil {
			err = knock(ctx, ui)
		}
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%w: %w", errEnded, cause(p.Wait()))
		case <-ctx.Done():
			return fmt.Errorf("wait for temporal: %w", errors.Join(ctx.Err(), err))
		case <-time.After(pause):
			pause = min(2*pause, 200*time.Millisecond)
		}
	}
}

// temporalAnswers asks the server once for all that must be there.
func (s *Stack) temporalAnswers(ctx context.Context, address string, attributes map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{
		HostPort: address, Namespace: s.TemporalNamespace,
		Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return err
	}
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.TemporalNamespace})
	if err != nil {
		return err
	}
	listed, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: s.TemporalNamespace})
	if err != nil {
		return err
	}
	var missing []string
	for name := range attributes {
		if _, ok := listed.GetCustomAttributes()[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("search attributes not registered yet: %v", missing)
	}
	return nil
}

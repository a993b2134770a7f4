package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// complete fills in what was left to the environment or to us.
func (o Options) complete() (Options, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Out == nil {
		o.Out = os.Stderr
	}
	if o.Ephemeral && o.Dir != "" {
		return o, errors.New("an ephemeral stack keeps nothing: it takes no folder")
	}
	if o.DatabaseURL == "" {
		o.DatabaseURL = o.Getenv("PDEX_DATABASE_URL")
	}
	if o.TemporalAddress == "" {
		o.TemporalAddress = o.Getenv("PDEX_TEMPORAL_ADDRESS")
	}
	for _, port := range []struct {
		value *int
		name  string
	}{
		{&o.PostgresPort, "PDEX_POSTGRES_PORT"},
		{&o.TemporalPort, "PDEX_TEMPORAL_PORT"},
		{&o.TemporalUIPort, "PDEX_TEMPORAL_UI_PORT"},
	} {
		text := o.Getenv(port.name)
		if *port.value != 0 || text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return o, fmt.Errorf("%s is not a port number", port.name)
		}
		*port.value = int(n)
	}
	if o.Ephemeral {
		return o, nil
	}
	if o.Dir == "" {
		root, err := Root()
		if err != nil {
			return o, err
		}
		o.Dir = filepath.Join(root, "dev", ".state")
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return o, fmt.Errorf("find state folder: %w", err)
	}
	return o, nil
}

// Root returns the folder of the repository, found upwards from the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find working directory: %w", err)
	}
	for {
		if module(filepath.Join(dir, "go.mod")) == "pdexbulk" {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the working directory is not inside the repository: change into it, or name a folder")
		}
		dir = parent
	}
}

// module reads the module path from a go.mod file; "" when there is none.
func module(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close() // only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "module "); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// attempts is how often a service is started on another free port when somebody else took the one found for it.
const attempts = 3

// port returns the port that was asked for, which must be free; else the usual one when free; else a free one.
func port(asked, usual int, name string) (int, error) {
	if asked != 0 {
		if !free(asked) {
			return 0, fmt.Errorf("port %d, asked for with %s, is taken", asked, name)
		}
		return asked, nil
	}
	if usual != 0 && free(usual) {
		return usual, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close() // it was only asked
	return l.Addr().(*net.TCPAddr).Port, nil
}

func free(port int) bool {
	l, err := net.Listen("tcp", address(port)) //nolint:noctx // it does not block
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// ping checks that a database we were given answers. The URL holds a password: pgx keeps that out of its errors.
func ping(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the database of PDEX_DATABASE_URL: %w", err)
	}
	return conn.Close(ctx)
}

// knock checks that something listens where Temporal should. How to speak to it, with TLS or keys, is for the programs
// that use it to know.
func knock(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("connect to PDEX_TEMPORAL_ADDRESS: %w", err)
	}
	return conn.Close()
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"pdexbulk/dev/stack/child"
	"pdexbulk/dev/stack/folder"
)

const (
	superuser  = "postgres"
	role       = "pdex" // the application's: owns its database, may create others, is no superuser
	database   = "pdex"
	socketPort = 5432 // names the socket file of a server that listens on no port
)

// Config says how to run a server. Dir, Binaries, Password and Log are required.
type Config struct {
	Binaries Binaries

	// Dir holds the cluster. Its parent must exist and, when this process is root, be reachable by other users. The
	// caller makes sure that no other server runs on it.
	Dir string

	// Password is the password of both roles. It counts only when the cluster is made.
	Password string

	// Ephemeral trades all crash safety for speed.
	Ephemeral bool

	// Port is the port on 127.0.0.1; 0 means that the server can be reached by its socket alone.
	Port int

	// SharedBuffers is the server's cache, in Postgres notation; "" means 1GB, or 128MB when Ephemeral.
	SharedBuffers string

	// Settings override the settings of this package.
	Settings map[string]string

	// Log takes the server's log.
	Log *os.File

	// Inherit are files the server and its backends hold open until the last of them is gone.
	Inherit []*os.File
}

// Server is a running Postgres.
type Server struct {
	Process  *child.Process
	socket   string
	port     int
	tcp      bool
	password string
}

// Start makes the cluster when absent, starts the server and returns once it answers. ctx bounds the start, not the
// server's life: that ends with Stop or with this process.
func Start(ctx context.Context, c Config) (*Server, error) {
	if c.SharedBuffers == "" {
		c.SharedBuffers = "1GB"
		if c.Ephemeral {
			c.SharedBuffers = "128MB"
		}
	}
	home, err := openCluster(c.Dir)
	if err != nil {
		return nil, err
	}
	if err := home.init(ctx, c); err != nil {
		return nil, err
	}
	socket, err := home.socketDir()
	if err != nil {
		return nil, err
	}
	s := &Server{socket: socket, port: socketPort, tcp: c.Port != 0, password: c.Password}
	if s.tcp {
		s.port = c.Port
	}
	// A killed server leaves its process id behind, and by now that id may be anybody's. The caller holds the lock of
	// this folder, so no server runs here.
	lock := fmt.Sprintf(".s.PGSQL.%d.lock", s.port)
	for _, path := range []string{filepath.Join(home.data, "postmaster.pid"), filepath.Join(socket, lock)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("remove what a killed server left: %w", err)
		}
	}
	death := syscall.SIGINT // shut down as usual: the next start then has nothing to recover
	if c.Ephemeral {
		death = syscall.SIGQUIT // just go
	}
	s.Process, err = child.Start(child.Command{
		Name: "postgres", Path: filepath.Join(c.Binaries.Dir, "postgres"),
		Args: append([]string{"-D", home.data}, c.settings(socket)...),
		Dir:  home.base, Stdout: c.Log, Stderr: c.Log, Inherit: c.Inherit, User: home.user, OnParentDeath: death,
	})
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		_ = s.Process.Kill() // the error that counts is why it is not ready
		_ = s.Process.Wait()
		return nil, err
	}
	return s, nil
}

// URL is the address of a database over the unix socket, as the application's role. "" names the application's own.
func (s *Server) URL(db string) string { return s.url(role, db, s.socket) }

// TCPURL is the address of a database over 127.0.0.1, or "" when the server listens on no port.
func (s *Server) TCPURL(db string) string {
	if !s.tcp {
		return ""
	}
	return s.url(role, db, "127.0.0.1")
}

func (s *Server) url(user, db, host string) string {
	if db == "" {
		db = database
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, s.password), Path: "/" + db}
	q := url.Values{"host": {host}, "port": {strconv.Itoa(s.port)}, "sslmode": {"disable"}}
	u.RawQuery = q.Encode()
	return u.String()
}

// Stop shuts the server down: connections are cut, the data are left consistent. It waits up to a minute for that
// unless ctx ends first, then goes without, which the next start repairs.
func (s *Server) Stop(ctx context.Context) error {
	return s.Process.Stop(ctx, syscall.SIGINT, time.Minute)
}

// Abandon ends the server at once, for data nobody will read again.
func (s *Server) Abandon(ctx context.Context) error {
	return s.Process.Stop(ctx, syscall.SIGQUIT, 10*time.Second)
}

// ready waits until the server answers and has the application's role and database.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // recovery of a full log takes its time
	defer cancel()
	pause := 5 * time.Millisecond
	for {
		conn, err := pgx.Connect(ctx, s.url(superuser, superuser, s.socket))
		if err == nil {
			defer conn.Close(ctx) // nothing was left undone
			return provide(ctx, conn, s.password)
		}
		select {
		case <-s.Process.Done():
			return fmt.Errorf("postgres ended while starting: %w", s.Process.Wait())
		case <-ctx.Done():
			return fmt.Errorf("wait for postgres: %w", errors.Join(ctx.Err(), err))
		case <-time.After(pause):
			pause = min(2*pause, 200*time.Millisecond)
		}
	}
}

// provide makes the application's role and database when absent, and turns on what this build of Postgres can do.
func provide(ctx context.Context, conn *pgx.Conn, password string) error {
	var hasRole, hasDatabase, hasLZ4 bool
	err := conn.QueryRow(ctx, `select
		exists (select from pg_roles where rolname = $1),
		exists (select from pg_database where datname = $2),
		exists (select from pg_settings where name = 'wal_compression' and 'lz4' = any (enumvals) and setting <> 'lz4')`,
		role, database).Scan(&hasRole, &hasDatabase, &hasLZ4)
	if err != nil {
		return fmt.Errorf("look for the application's role: %w", err)
	}
	var todo []string
	if !hasRole {
		quoted := "'" + strings.ReplaceAll(password, "'", "''") + "'" // this statement takes no parameters
		todo = append(todo, "create role "+role+" login createdb password "+quoted, "grant pg_monitor to "+role)
	}
	if !hasDatabase {
		todo = append(todo, "create database "+database+" owner "+role)
	}
	if hasLZ4 {
		todo = append(todo, "alter system set wal_compression = lz4", "select pg_reload_conf()")
	}
	for _, sql := range todo {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("provide the application's role and database: %w", err)
		}
	}
	return nil
}

// socketDir is the cluster's own folder or, where that makes a path longer than a socket address may be, a short one
// that is always the same for this cluster.
func (c *cluster) socketDir() (string, error) {
	const room = 100 - len("/.s.PGSQL.65535") // 104 on macOS and the BSDs, 108 on Linux
	if len(c.base) <= room {
		return c.base, nil
	}
	dir := folder.Keyed("pdex-pg-", c.base)
	if len(dir) > room {
		dir = filepath.Join("/tmp", filepath.Base(dir))
	}
	owner, err := private(dir, c.user)
	if err != nil {
		return "", fmt.Errorf("make socket folder: %w", err)
	}
	if c.user != nil && owner.Uid != c.user.Uid {
		return "", fmt.Errorf("%s belongs to another user: remove it", dir)
	}
	return dir, nil
}

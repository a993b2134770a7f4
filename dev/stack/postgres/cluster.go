package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// cluster is the folder of one Postgres: base/data, and the user who owns both.
type cluster struct {
	base, data string
	user       *syscall.Credential // nil: the user we are
}

// openCluster makes base when absent and finds out whom the server runs as.
func openCluster(base string) (*cluster, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, fmt.Errorf("find cluster folder: %w", err)
	}
	var as *syscall.Credential
	if os.Geteuid() == 0 {
		if as, err = serverUser(); err != nil {
			return nil, err
		}
	}
	owner, err := private(base, as)
	if err != nil {
		return nil, err
	}
	return &cluster{base: base, data: filepath.Join(base, "data"), user: owner}, nil
}

// private makes a folder for one user alone, or checks that it is one: anybody can make a folder in /tmp. Root passes
// the user it is for, and gets back the owner of a folder that exists; others pass and get nil.
func private(path string, as *syscall.Credential) (*syscall.Credential, error) {
	err := os.Mkdir(path, 0o700)
	if err == nil {
		if as == nil {
			return nil, nil
		}
		if err := os.Lchown(path, int(as.Uid), int(as.Gid)); err != nil {
			return nil, fmt.Errorf("give folder to the server's user: %w", err)
		}
		return as, nil
	}
	if !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("look at folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is not a folder of one user alone: remove it", path)
	}
	if as == nil {
		if int(stat.Uid) != os.Geteuid() {
			return nil, fmt.Errorf("%s belongs to another user: remove it as its owner", path)
		}
		return nil, nil
	}
	if stat.Uid == 0 {
		return nil, fmt.Errorf("%s belongs to root, as whom Postgres refuses to run: remove it", path)
	}
	return &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}, nil
}

// serverUser is whom root runs the server as: postgres, whom packages of Postgres bring, or nobody.
func serverUser() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("postgres refuses to run as root, and there is no user postgres or nobody to run it as: install postgresql, or run as an ordinary user")
}

// init runs initdb when the cluster has no data yet. Being killed in the middle leaves nothing that counts as data.
func (c *cluster) init(ctx context.Context, config Config) error {
	switch _, err := os.Stat(filepath.Join(c.data, "PG_VERSION")); {
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("look at the data: %w", err)
	}
	fresh := filepath.Join(c.base, "data.new")
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove half-made data: %w", err)
	}
	pwfile, err := c.passwordFile(config.Password)
	if err != nil {
		return err
	}
	defer os.Remove(pwfile) //nolint:errcheck // it is in a folder of one user alone

	args := []string{
		"--pgdata=" + fresh, "--username=" + superuser, "--pwfile=" + pwfile, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C", "--no-instructions",
	}
	if config.Ephemeral {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(config.Binaries.Dir, "initdb"), args...)
	cmd.Dir = c.base // where we are may be out of the server user's reach
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run initdb: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(fresh, c.data); err != nil {
		return fmt.Errorf("keep the new data: %w", err)
	}
	return nil
}

// passwordFile writes the password where initdb, as the server's user, can read it.
func (c *cluster) passwordFile(password string) (string, error) {
	f, err := os.CreateTemp(c.base, "password-")
	if err != nil {
		return "", fmt.Errorf("make password file: %w", err)
	}
	_, err = f.WriteString(password + "\n")
	if err == nil && c.user != nil {
		err = f.Chown(int(c.user.Uid), int(c.user.Gid))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("write password file: %w", err)
	}
	return f.Name(), nil
}

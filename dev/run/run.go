// Package run is the stack of "make run": everything up on a state folder that is kept, demonstration data imported, two
// partners registered whose private keys lie in that folder, and commands to paste. It stays until it is told to stop.
//
// It is for trying the product and for developing against it. It measures and checks nothing; see packages demo and e2e.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"pdexbulk/dev/demo"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/system"
	"pdexbulk/models"
)

// Options say what to bring up.
type Options struct {
	// Dir keeps the state; "" means dev/.state in the repository.
	Dir string
	// Members is the size of the roster made at the first start; 0 means seed.DemoMembers.
	Members int
	Out     io.Writer
}

// people is how many people the request made at the first start asks for.
const people = 60

// Run brings the stack up and returns when ctx ends, which is no error, or when a service of it does.
func Run(ctx context.Context, o Options) (err error) {
	if o.Dir, err = folder(o.Dir); err != nil {
		return err
	}
	if o.Members == 0 {
		o.Members = seed.DemoMembers
	}
	sys, err := system.Start(ctx, demo.Holder(system.Options{
		Stack: stack.Options{Dir: o.Dir, Out: o.Out}, ImportRoots: []string{filepath.Join(o.Dir, "seed")},
	}))
	if err != nil {
		return unlessAsked(ctx, err)
	}
	defer func() {
		fmt.Fprintln(o.Out, "\nstopping; what was stored is kept in "+o.Dir)
		err = errors.Join(err, sys.Stop(context.WithoutCancel(ctx)))
	}()
	if err := load(ctx, sys, o); err != nil {
		return unlessAsked(ctx, err)
	}
	for _, p := range partners {
		if err := register(ctx, sys, o.Dir, p); err != nil {
			return unlessAsked(ctx, err)
		}
	}
	tell(o.Out, sys, o.Dir)
	select {
	case <-ctx.Done():
		return nil
	case err := <-sys.Stack.Lost():
		return err
	}
}

// unlessAsked takes an error that comes of being told to stop for the orderly end it is.
func unlessAsked(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // being told to stop is no failure
	}
	return err
}

// folder is the absolute path of the state folder.
func folder(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	root, err := stack.Root()
	return filepath.Join(root, "dev", ".state"), err
}

// load makes data and a match request at the first start, and sees to it that the data are imported.
func load(ctx context.Context, sys *system.System, o Options) error {
	home := filepath.Join(o.Dir, "seed")
	if _, err := os.Stat(home); errors.Is(err, os.ErrNotExist) {
		if err := makeSeed(ctx, home, o); err != nil {
			return err
		}
	}
	imp, err := imported(ctx, sys, home)
	if err != nil {
		return err
	}
	if imp == nil {
		if imp, err = sys.StartImport(ctx, home, models.ImportBackfill); err != nil {
			return err
		}
	}
	if imp.State.Done() {
		return nil
	}
	done, err := sys.AwaitImport(ctx, *imp, func(i models.Import) {
		fmt.Fprintf(o.Out, "run: importing: %d lines read\n", i.Stats.Lines)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "run: imported %d lines of %d members\n", done.Stats.Lines, o.Members)
	return nil
}

// imported returns the import of a folder that has succeeded or is under way, nil when there is none.
func imported(ctx context.Context, sys *system.System, source string) (*models.Import, error) {
	cursor := ""
	for {
		var page struct {
			Items []models.Import `json:"items"`
			Next  string          `json:"next"`
		}
		if err := sys.Admin(ctx, http.MethodGet, "/admin/imports?cursor="+cursor, nil, &page); err != nil {
			return nil, err
		}
		for _, imp := range page.Items {
			if imp.Source == source && imp.State != models.StateFailed && imp.State != models.StateCancelled {
				return &imp, nil
			}
		}
		if cursor = page.Next; cursor == "" {
			return nil, nil
		}
	}
}

// makeSeed makes members, their data, and a request that asks for some of them. The folder appears when it is whole.
func makeSeed(ctx context.Context, home string, o Options) error {
	parts := home + ".part"
	if err := os.RemoveAll(parts); err != nil {
		return err
	}
	opts := seed.Options{Seed: 7, Members: o.Members, Anchor: time.Now()}
	made, err := seed.Write(ctx, parts, opts)
	if err != nil {
		return err
	}
	if _, err := seed.SaveRequest(parts, opts, seed.RequestOptions{Seed: 7, Members: people}); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "run: made %d members and %d resources\n", made.Members, made.Resources)
	return os.Rename(parts, home)
}

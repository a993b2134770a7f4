package seed

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"
)

// Bounds of Options.
const (
	MaxMembers = 10_000_000
	// DemoMembers is the size of the roster used for demonstrations.
	DemoMembers = 200

	maxDensity = 20
	// LookbackYears is the age in years from which a resource counts as "older" in the truth.
	LookbackYears = 5
)

// Options say which world to make. Seed, Anchor and Density decide what a member looks like; the others only how much is
// written and how.
type Options struct {
	Seed uint64
	// Members is the size of the roster, exactly: 1 to MaxMembers.
	Members int
	// Anchor is the date the world ends on (its UTC day counts): nothing is dated later. It is required, since the
	// generator never looks at the clock. For the truth's ages to hold on a server, use today or a date up to 30 days ago:
	// no service lies within 45 days of the five-year limit.
	Anchor time.Time
	// Density scales the resources of a member; 1 (used for 0) gives about 100 on average. At most 20.
	Density float64
	// Gzip names the files <Type>.ndjson.gz and compresses them, each as a single gzip member.
	Gzip bool
	// FileBytes closes a file once it has taken that many uncompressed bytes and goes on in <Type>.0002.ndjson and so on;
	// a file goes over by at most one block of families. 0 writes one file a type.
	FileBytes int64
	// TruthIDs adds the ids of every resource to the truth.
	TruthIDs bool
	// Workers is the number of blocks made at once; 0 means one a processor. It does not change the output.
	Workers int
}

func (o Options) validate() error {
	switch {
	case o.Members < 1 || o.Members > MaxMembers:
		return fmt.Errorf("members must be 1 to %d", MaxMembers)
	case o.Anchor.IsZero():
		return errors.New("anchor is required")
	case o.Anchor.Year() < 2010 || o.Anchor.Year() > 2999:
		return errors.New("anchor must lie in the years 2010 to 2999")
	case math.IsNaN(o.Density) || o.Density < 0 || o.Density > maxDensity:
		return fmt.Errorf("density must be 0 to %d", maxDensity)
	case o.FileBytes < 0 || o.Workers < 0:
		return errors.New("file bytes and workers must not be negative")
	}
	return nil
}

func (o Options) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// world is what Options come down to for the generator: integers only.
type world struct {
	seed    uint64
	anchor  day
	density int // percent
}

func (o Options) world() world {
	density := 100
	if o.Density > 0 {
		density = max(1, int(math.Round(o.Density*100)))
	}
	return world{seed: o.Seed, anchor: dayOf(o.Anchor), density: density}
}

// roster says where the roster ends: it holds the present people of the first families, and of the last family only the
// first few.
type roster struct {
	families uint64
	last     int // members of the last family that are on the roster
}

// roster counts families until they hold the members asked for. It costs some tens of nanoseconds a family.
func (o Options) roster() roster {
	left := o.Members
	for k := uint64(0); ; k++ {
		s := shapeOf(o.Seed, k)
		n := s.people()
		if s.absent > 0 {
			n--
		}
		if n >= left {
			return roster{families: k + 1, last: left}
		}
		left -= n
	}
}

// household returns family k with everyone beyond the end of the roster marked absent.
func (r roster) household(w world, k uint64) *household {
	h := w.household(k)
	if k+1 < r.families {
		return h
	}
	kept := 0
	for i := range h.people {
		p := &h.people[i]
		if p.absent {
			continue
		}
		p.absent = kept >= r.last
		kept++
	}
	return h
}

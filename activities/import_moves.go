package activities

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// movesBucket is the bucket under which moves keep their counts.
const movesBucket = -2

// newsAtATime bounds the memory that looking for moved resources takes: so many are looked for in one scan of the ids held.
const newsAtATime = 1 << 20

// compareNews tells which of two versions of a resource that one import brought is the newer, as newer does.
func compareNews(a, b store.News) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Version, b.Version), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
}

type resourceHash struct {
	typ  int16
	hash uint64
}

// followUnfollowed does for imports that were cut short what they had not come to: to the one that is running, what they brought is
// nothing new.
func (a *Activities) followUnfollowed(ctx context.Context, imp *models.Import) error {
	earlier, err := a.Store.Unfollowed(ctx)
	if err != nil {
		return err
	}
	for _, id := range earlier {
		if err := a.followMoves(ctx, imp, id); err != nil {
			return err
		}
		if err := a.Store.ClearNews(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// followMoves finds resources that an import, this one or the one given, brought to one member while another has them too, and leaves
// them with the one who has the newer version: a resource has one owner, and the other must not be shown it any longer.
func (a *Activities) followMoves(ctx context.Context, imp *models.Import, brought string) error {
	m := &merger{imp: imp}
	var err error
	if _, m.stats, err = a.Store.ImportBucket(ctx, imp.ID, movesBucket); err != nil {
		return err
	}
	if m.packer, err = segment.NewPacker(segment.DefaultLevel); err != nil {
		return err
	}
	return a.Store.EachNews(ctx, brought, newsAtATime, func(news []store.News) error {
		activity.RecordHeartbeat(ctx, len(news))
		return a.followSome(ctx, m, news)
	})
}

func (a *Activities) followSome(ctx context.Context, m *merger, news []store.News) error {
	homes := make(map[resourceHash]store.News, len(news))
	var others map[resourceHash][]store.News // where the import brought older versions
	var types []int16
	hashes := make([]uint64, 0, len(news))
	for _, n := range news {
		key, home := resourceHash{n.Type, n.Hash}, n
		if last, twice := homes[key]; twice && last.Member != home.Member {
			if others == nil {
				others = map[resourceHash][]store.News{}
			}
			if compareNews(home, last) < 0 {
				home, last = last, home
			}
			others[key] = append(others[key], last)
		}
		homes[key] = home
		types, hashes = append(types, n.Type), append(hashes, n.Hash)
	}
	slices.Sort(types)
	owners, err := a.Store.Owners(ctx, slices.Compact(types), segment.NewHashSet(hashes))
	if err != nil {
		return err
	}
	// The owners hold the resource's former home and the new one. In the first pass the former homes lose what is older
	// than what came, and tell what is not; in the second the new homes lose what was not newer after all.
	stale := map[resourceHash]bool{}
	keyOf := func(where place, l segment.Line) resourceHash {
		return resourceHash{where.typ, segment.IDHash(fhir.TypeName(where.typ), l.ID)}
	}
	olderHere := func(where place, l segment.Line) bool {
		return slices.ContainsFunc(others[keyOf(where, l)], func(h store.News) bool { return h.Member == where.member && h.Updated == l.LastUpdated })
	}
	leave := func(where place, _ *held, l segment.Line) bool {
		key := keyOf(where, l)
		home, came := homes[key]
		switch {
		case !came || home.Member == where.member:
			return false
		case olderHere(where, l), l.LastUpdated <= home.Updated:
			return true
		}
		stale[key] = true
		return false
	}
	err = a.takeAway(ctx, m, owners, leave, func(out *store.Merge, where place, h *held, l segment.Line) {
		if models.IsMember(where.member) && !olderHere(where, l) { // else nobody has seen it there
			out.Depart = append(out.Depart, store.Departure{
				Member: where.member, Type: where.typ, ResourceID: l.ID, LeftAt: out.At, Class: h.key.Class, Home: homes[keyOf(where, l)].Member,
			})
		}
	})
	if err != nil || len(stale) == 0 {
		return err
	}
	return a.takeAway(ctx, m, owners, func(where place, _ *held, l segment.Line) bool {
		key := keyOf(where, l)
		return stale[key] && homes[key].Member == where.member && homes[key].Updated == l.LastUpdated
	}, func(*store.Merge, place, *held, segment.Line) {})
}

// takeAway removes lines from members without burying them: the resource is still held, elsewhere. dropped is called with each.
func (a *Activities) takeAway(ctx context.Context, m *merger, owners []uuid.UUID, leave func(place, *held, segment.Line) bool, dropped func(*store.Merge, place, *held, segment.Line)) error {
	for batch := range slices.Chunk(owners, 100) {
		err := a.Store.MergeMembers(ctx, batch, *m.imp.EffectiveAt, func(view *store.MergeTx) (*store.Merge, error) {
			return m.change(view, leave, func(out *store.Merge, where place, h *held, l segment.Line) {
				m.stats.Moved++
				dropped(out, where, h, l)
			})
		}, func(ctx context.Context, tx pgx.Tx) error {
			return store.SaveBucket(ctx, tx, m.imp.ID, movesBucket, 0, m.stats)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

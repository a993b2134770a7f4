package activities

import (
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

// newHome is where an import brought a resource, and in which version.
type newHome struct {
	member  uuid.UUID
	updated int64
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
	homes := make(map[resourceHash][]newHome, len(news))
	var types []int16
	hashes := make([]uint64, 0, len(news))
	for _, n := range news {
		key := resourceHash{n.Type, n.Hash}
		homes[key] = append(homes[key], newHome{n.Member, n.Updated})
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
	leave := func(where place, _ *held, l segment.Line) bool {
		key := resourceHash{where.typ, segment.IDHash(fhir.TypeName(where.typ), l.ID)}
		for _, home := range homes[key] {
			switch {
			case slices.ContainsFunc(homes[key], func(h newHome) bool { return h.member == where.member }):
				return false // it came here itself
			case l.LastUpdated <= home.updated:
				return true
			default:
				stale[key] = true
			}
		}
		return false
	}
	if err := a.takeAway(ctx, m, owners, leave); err != nil {
		return err
	}
	if len(stale) == 0 {
		return nil
	}
	return a.takeAway(ctx, m, owners, func(where place, _ *held, l segment.Line) bool {
		key := resourceHash{where.typ, segment.IDHash(fhir.TypeName(where.typ), l.ID)}
		return stale[key] && slices.ContainsFunc(homes[key], func(h newHome) bool { return h.member == where.member && h.updated == l.LastUpdated })
	})
}

// takeAway removes lines from members without burying them: the resource is still held, elsewhere.
func (a *Activities) takeAway(ctx context.Context, m *merger, owners []uuid.UUID, leave func(place, *held, segment.Line) bool) error {
	for batch := range slices.Chunk(owners, 100) {
		err := a.Store.MergeMembers(ctx, batch, *m.imp.EffectiveAt, func(view *store.MergeTx) (*store.Merge, error) {
			return m.change(view, leave, func(*store.Merge, place, *held, segment.Line) { m.stats.Moved++ })
		}, func(ctx context.Context, tx pgx.Tx) error {
			return store.SaveBucket(ctx, tx, m.imp.ID, movesBucket, 0, m.stats)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

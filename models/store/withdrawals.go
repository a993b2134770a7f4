package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
)

// withdrawals select, by the profile of the Group that was exported, the members of whom it was said since $2 that their data may
// not be had at $3: all of it, or what is sensitive. Each part reads an index that begins at $2, so the cost is that of what was
// said lately, not of the Group. $1 is the Group, $4 whom it was made for. What was taken back counts as Standing.Revoked has it.
var withdrawals = map[string]string{
	models.MatchGroupProfile: `
		SELECT member_id, true AS whole FROM consent_overrides o WHERE ` + lateOverride + `
			  AND (requester = '' OR requester = ANY($4))
		UNION ALL SELECT member_id, true FROM consents c WHERE revoked_at > $2 AND ` + ofRequester("c.", "$4") + `
			AND (greatest(revoked_at, given_at) >= (SELECT coalesce(j.created_at, g.created_at) FROM groups g LEFT JOIN jobs j ON j.id = g.job_id WHERE g.id = $1)
				OR NOT EXISTS (SELECT FROM consents a WHERE a.member_id = c.member_id AND a.state = 'active' AND ` + ofRequester("a.", "$4") + `))
		UNION ALL SELECT member_id, true FROM consents WHERE state = 'active' AND ends_at > $2 AND ends_at <= $3 AND ` + ofRequester("", "$4") + `
		UNION ALL SELECT member_id, starts_at > $3 OR ends_at <= $3 FROM consents
			WHERE state = 'active' AND settled_at > $2 AND ` + ofRequester("", "$4") + ` AND (policy = 'regular' OR starts_at > $3 OR ends_at <= $3)
		UNION ALL SELECT member_id, true FROM opt_outs o WHERE scope = 'payer-specific' AND ` + lateOptOut + `
			AND (target = ANY($4) OR '` + models.NPISystem + `|' || target = ANY($4))
		UNION ALL SELECT member_id, true FROM group_members WHERE group_id = $1 AND consent_end > $2 AND consent_end <= $3`,
	// Whether an opt-out of another scope is from this provider is more than a query can say, see LateOptOuts.
	models.ProviderGroupProfile: `
		SELECT member_id, true AS whole FROM opt_outs o WHERE scope = 'global' AND ` + lateOptOut + ` AND $4::text[] IS NOT NULL
		UNION ALL SELECT member_id, true FROM group_members WHERE group_id = $1 AND consent_end > $2 AND consent_end <= $3`,
	// Of those whom the export was of, who is on the list no more: looked for when the list has changed since, or an attribution ended.
	models.AttributionGroupProfile: `
		SELECT member_id, true AS whole FROM opt_outs o WHERE scope = 'global' AND ` + lateOptOut + ` AND $4::text[] IS NOT NULL
		UNION ALL SELECT r.member_id, true FROM export_rosters r WHERE r.job_id = $5
			AND (EXISTS (SELECT FROM attribution_lists WHERE group_id = $1 AND updated_at > $2)
				OR EXISTS (SELECT FROM attributions WHERE group_id = $1 AND ends_at > $2 AND ends_at <= $3))
			AND NOT EXISTS (SELECT FROM attributions a WHERE a.group_id = $1 AND a.member_id = r.member_id AND NOT a.inactive AND a.starts_at <= $3 AND a.ends_at > $3)`,
}

// rosters say, by the profile of the Group, whose data the files of its export may hold.
var rosters = map[string]string{
	models.MatchGroupProfile:       `group_members m ON m.group_id = $1 AND m.member_id = s.member_id`,
	models.ProviderGroupProfile:    `group_members m ON m.group_id = $1 AND m.member_id = s.member_id`,
	models.AttributionGroupProfile: `(SELECT job_id, member_id, 'regular' AS policy FROM export_rosters) m ON m.job_id = $5 AND m.member_id = s.member_id`,
}

// lateOptOut selects the opt-outs that stand at $3 and did not at $2.
const lateOptOut = `o.revoked_at IS NULL AND greatest(o.created_at, o.starts_at) > $2 AND o.starts_at <= greatest($3, o.created_at) AND o.ends_at > $3`

// lateOverride is lateOptOut for overrides.
const lateOverride = `o.revoked_at IS NULL AND greatest(o.created_at, o.starts_at) > $2 AND o.starts_at <= greatest($3, o.created_at) AND (o.ends_at IS NULL OR o.ends_at > $3)`

// LateOptOuts returns the members in a file of the export of a provider's Group, or with nil in any of them, who have opted out since it
// was written of something less than all, or told the plan not to share, and of whom it may hold data.
func (s *Store) LateOptOuts(ctx context.Context, job *models.Job, groupID string, f *models.JobFile, at time.Time) ([]uuid.UUID, error) {
	lo, hi, err := s.span(ctx, job.ID, f)
	if err != nil {
		return nil, err
	}
	return s.lateOptOuts(ctx, job, groupID, lo, hi, at)
}

// LateOptOutsOf is LateOptOuts for what a Group's export has of one member.
func (s *Store) LateOptOutsOf(ctx context.Context, job *models.Job, groupID string, member uuid.UUID, at time.Time) ([]uuid.UUID, error) {
	return s.lateOptOuts(ctx, job, groupID, member, member, at)
}

func (s *Store) lateOptOuts(ctx context.Context, job *models.Job, groupID string, lo, hi uuid.UUID, at time.Time) ([]uuid.UUID, error) {
	rows, err := s.Pool.Query(ctx, `WITH said AS (SELECT member_id FROM opt_outs o WHERE o.scope <> 'global' AND `+lateOptOut+`
			UNION ALL SELECT member_id FROM consent_overrides o WHERE `+lateOverride+`)
		SELECT DISTINCT m.member_id FROM said o JOIN group_members m ON m.group_id = $1 AND m.member_id = o.member_id
		JOIN groups g ON g.id = m.group_id AND g.profile = ANY($7)
		WHERE m.member_id BETWEEN $4 AND $5
		  AND NOT EXISTS (SELECT FROM export_withheld w WHERE w.job_id = $6 AND w.member_id = m.member_id AND w.whole)
		ORDER BY m.member_id`, groupID, job.TransactionTime.Add(-lateness), at, lo, hi, job.ID,
		[]string{models.ProviderGroupProfile, models.AttributionGroupProfile})
	if err != nil {
		return nil, fmt.Errorf("select late opt-outs: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("read late opt-outs: %w", err)
	}
	return out, nil
}

// lateness is how long what was said may take to be seen: the clocks of the processes differ, and a commit takes its time. What
// an export did see does not count against it, however long ago it was said.
const lateness = 15 * time.Minute

// Withdrawn reports whether a file of a Group's export, or with nil any of them, may hold data of a member that must not be handed
// out any more: since it was written, the member or their requester has said so, or the consent has ended.
func (s *Store) Withdrawn(ctx context.Context, job *models.Job, groupID string, f *models.JobFile, at time.Time) (bool, error) {
	lo, hi, err := s.span(ctx, job.ID, f)
	if err != nil {
		return false, err
	}
	return s.withdrawn(ctx, job, groupID, lo, hi, at)
}

// WithdrawnMember is Withdrawn for what a Group's export has of one member.
func (s *Store) WithdrawnMember(ctx context.Context, job *models.Job, groupID string, member uuid.UUID, at time.Time) (bool, error) {
	return s.withdrawn(ctx, job, groupID, member, member, at)
}

func (s *Store) withdrawn(ctx context.Context, job *models.Job, groupID string, lo, hi uuid.UUID, at time.Time) (bool, error) {
	if job.TransactionTime == nil {
		return true, nil // it never ran
	}
	g := &Group{ID: groupID}
	err := s.Pool.QueryRow(ctx, `SELECT client_id, profile, organizations FROM groups WHERE id = $1`, groupID).Scan(&g.ClientID, &g.Profile, &g.Organizations)
	if noRows(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("select group: %w", err)
	}
	said, known := withdrawals[g.Profile]
	if !known {
		return true, nil
	}
	ids, same, err := requester(ctx, s.Pool, g)
	if err != nil || !same {
		return true, err
	}
	var found bool
	err = s.Pool.QueryRow(ctx, `WITH said AS (`+said+`)
		SELECT EXISTS (SELECT FROM said s JOIN `+rosters[g.Profile]+`
			WHERE m.member_id BETWEEN $6 AND $7 AND (s.whole OR m.policy = 'sensitive')
			  AND NOT EXISTS (SELECT FROM export_withheld w WHERE w.job_id = $5 AND w.member_id = m.member_id AND (w.whole OR NOT s.whole)))`,
		groupID, job.TransactionTime.Add(-lateness), at, canonical(ids), job.ID, lo, hi).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("select withdrawals: %w", err)
	}
	return found, nil
}

// span returns the bounds of the members whose data a file can hold.
func (s *Store) span(ctx context.Context, jobID string, f *models.JobFile) (lo, hi uuid.UUID, err error) {
	if f == nil || f.LastChunk < f.FirstChunk || f.Type == "Group" { // a Group tells of all its members
		return models.FirstMember, models.LastID, nil
	}
	err = s.Pool.QueryRow(ctx, `SELECT a.lo, b.hi FROM export_chunks a, export_chunks b WHERE (a.job_id, a.chunk) = ($1, $2) AND (b.job_id, b.chunk) = ($1, $3)`,
		jobID, f.FirstChunk, f.LastChunk).Scan(&lo, &hi)
	if noRows(err) { // it is being purged
		return models.FirstMember, models.LastID, nil
	}
	if err != nil {
		return lo, hi, fmt.Errorf("select chunks: %w", err)
	}
	return lo, hi, nil
}

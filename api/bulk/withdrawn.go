package bulk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"pdexbulk/models"
)

// notWithdrawn refuses a file of a Group's export that holds data of a member who may not be exported any more (decision 21): a
// new export has the others. The answer is the same whoever it was, and why.
func (s *Service) notWithdrawn(ctx context.Context, job *models.Job, f *models.JobFile) error {
	if f.Kind == "error" {
		return nil // it tells of no member
	}
	gone, err := s.withdrawn(ctx, job, f)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the file cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	if gone {
		return models.Errorf(models.KindGone, "this file is not available any more; start the export again")
	}
	return nil
}

// withdrawn reports whether a file of a job, or with nil any of them, may not be handed out any more.
func (s *Service) withdrawn(ctx context.Context, job *models.Job, f *models.JobFile) (bool, error) {
	if job.Operation.IsMatch() {
		return false, nil
	}
	var p models.ExportParams
	if err := json.Unmarshal(job.Params, &p); err != nil {
		return false, fmt.Errorf("read the job's parameters: %w", err)
	}
	if p.GroupID == "" {
		return false, nil
	}
	gone, err := s.Store.Withdrawn(ctx, job, p.GroupID, f, s.now())
	if err != nil || gone {
		return gone, err
	}
	late, err := s.Store.LateOptOuts(ctx, job, p.GroupID, f, s.now())
	if err != nil {
		return false, err
	}
	return s.optedOut(ctx, p.GroupID, late, s.now())
}

// withdrawnMember is withdrawn for what a Group's export has of one member.
func (s *Service) withdrawnMember(ctx context.Context, job *models.Job, groupID string, member uuid.UUID) (bool, error) {
	gone, err := s.Store.WithdrawnMember(ctx, job, groupID, member, s.now())
	if err != nil || gone {
		return gone, err
	}
	late, err := s.Store.LateOptOutsOf(ctx, job, groupID, member, s.now())
	if err != nil {
		return false, err
	}
	return s.optedOut(ctx, groupID, late, s.now())
}

package bulk

import (
	"context"
	"time"

	"pdexbulk/models"
)

const (
	// holdAhead is how long before a job expires the downloads that are under way are made known.
	holdAhead = time.Minute
	// holdFor is how long an api that died keeps files alive, holdEvery how often one that lives says so.
	holdFor, holdEvery = 2 * time.Minute, 30 * time.Second
	// holdLongest is how long after the expiry a download may go on.
	holdLongest = 12 * time.Hour
)

// hold keeps the files of a job while one of them is being served, though the job may expire meanwhile (Bulk Data Access 2.0.0,
// "Privacy and Security Considerations"). Call release when it has been served. A download that ends before the expiry costs
// nothing.
func (s *Service) hold(ctx context.Context, job *models.Job) (release func(), err error) {
	if job.ExpiresAt == nil {
		return func() {}, nil
	}
	id := models.NewID()
	held := false
	extend := func(ctx context.Context) (err error) {
		held, err = s.Store.HoldFiles(ctx, job.ID, id, s.now().Add(holdFor))
		return err
	}
	wait := job.ExpiresAt.Sub(s.now()) - holdAhead
	if wait <= 0 {
		wait = holdEvery
		if err := extend(ctx); err != nil {
			return nil, models.Errorf(models.KindUnavailable, "the file cannot be looked up at the moment; try again").Wait(5).Because(err)
		}
		if !held {
			return nil, models.Errorf(models.KindNotFound, "the files of this job are gone")
		}
	}
	free := context.WithoutCancel(ctx)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		next := time.NewTimer(wait)
		defer next.Stop()
		for {
			select {
			case <-stop:
				return
			case <-next.C:
				if s.now().After(job.ExpiresAt.Add(holdLongest)) {
					return
				}
				if err := extend(free); err != nil {
					s.Log.ErrorContext(free, "a download could not be made known", "job", job.ID, "error", err.Error())
				}
				next.Reset(holdEvery)
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
		if !held {
			return
		}
		if err := s.Store.ReleaseFiles(free, id); err != nil {
			s.Log.ErrorContext(free, "the end of a download could not be made known", "job", job.ID, "error", err.Error())
		}
	}, nil
}

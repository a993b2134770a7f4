package bulk

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pdexbulk/api/answer"
	"pdexbulk/models"
)

// digestTimeout bounds how long an answer waits for the digest it would carry. Without one it goes out all the same.
const digestTimeout = 30 * time.Second

// setDigest tells the SHA-256 of the whole file in the form that is served, also when only a range of it is (RFC 9530 section 3).
func setDigest(h http.Header, sum []byte) {
	if sum != nil {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
}

// digest returns the SHA-256 of a file in one of its forms, nil when there is none to tell.
//
// Files are not hashed while they are exported. The gzip form is when it is first asked for, and the result is kept: that
// is a read of its bytes, which are about to be sent anyway. The other form has to be inflated for it, so this is
// done only for a client that asks (Want-Repr-Digest, RFC 9530 section 4), as is any hashing for the sake of a range.
func (s *Service) digest(r *http.Request, f *models.JobFile, parts []models.FilePart, gzip bool) []byte {
	known := f.IdentitySHA256
	if gzip {
		known = f.GzipSHA256
	}
	byItself := gzip && r.Header.Get("Range") == ""
	if known != nil || !byItself && !wantsDigest(r.Header) {
		return known
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), digestTimeout) // others may wait for it too
	defer cancel()
	sum, err, _ := s.digests.Do(fmt.Sprintf("%s-%d-%t", f.JobID, f.File, gzip), func() (any, error) {
		return s.computeDigest(ctx, f, parts, gzip)
	})
	if err != nil {
		s.Log.WarnContext(r.Context(), "a file could not be hashed", "job", f.JobID, "file", f.File, "error", answer.Trail(err))
		return nil
	}
	return sum.([]byte)
}

func (s *Service) computeDigest(ctx context.Context, f *models.JobFile, parts []models.FilePart, gzip bool) ([]byte, error) {
	body := &reader{ctx: ctx, files: s.Files, parts: parts, sum: fileSum(f), gzip: gzip}
	defer body.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, &untilDone{ctx, body}); err != nil {
		return nil, err
	}
	sum := hash.Sum(nil)
	return sum, s.Store.SaveDigest(ctx, f.JobID, f.File, gzip, sum)
}

// untilDone ends reading with its context: a disk does not.
type untilDone struct {
	ctx context.Context //nolint:containedctx // of the call that made it
	r   io.Reader
}

func (u *untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

// wantsDigest reads Want-Repr-Digest: a preference from 0 (not at all) to 10 by algorithm.
func wantsDigest(h http.Header) bool {
	for item := range strings.SplitSeq(strings.Join(h.Values("Want-Repr-Digest"), ","), ",") {
		name, preference, _ := strings.Cut(strings.TrimSpace(item), "=")
		if n, err := strconv.Atoi(preference); strings.TrimSpace(name) == "sha-256" && err == nil && n > 0 {
			return true
		}
	}
	return false
}

package server

import (
	"strings"
	"time"

	"pdexbulk/models"
)

// maxPresign is the longest life of a URL that S3 takes.
const maxPresign = 7 * 24 * time.Hour

// checkPresign refuses signed URLs that could not be made. blobURL is PDEX_BLOB_URL.
func checkPresign(life time.Duration, blobURL string) error {
	switch {
	case life == 0:
		return nil
	case life < time.Second || life > maxPresign:
		return models.Errorf(models.KindInvalid, "PDEX_PRESIGN: not within 1s and 168h")
	case !strings.HasPrefix(strings.ToLower(blobURL), "s3://"):
		return models.Errorf(models.KindInvalid, "PDEX_PRESIGN needs a file store that can sign: PDEX_BLOB_URL is not s3://")
	}
	return nil
}

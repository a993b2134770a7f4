package admin

import (
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"pdexbulk/models"
)

// checkSource refuses, before an import starts, a location that no worker would read. It looks at names alone, and at links
// where this machine has them: what passes is judged once more when it is opened. Without roots only the form is checked,
// for then this process does not know what the workers may read.
//
// KindInvalid for what is no location, KindForbidden for one outside the roots.
func checkSource(location string, roots []string) error {
	kind, at, ok := place(location)
	if !ok || kind == "s3" && strings.Contains(location, "?") {
		return models.Errorf(models.KindInvalid, "must be an absolute path, a file:/// URL or s3://bucket/path").At("body.source")
	}
	if len(roots) == 0 {
		return nil
	}
	for _, root := range roots {
		rootKind, rootAt, ok := place(root)
		if !ok || rootKind != kind {
			continue
		}
		if beneath(at, rootAt) || kind == "file" && beneath(resolved(at), resolved(rootAt)) {
			return nil
		}
	}
	return models.Errorf(models.KindForbidden, "the location is outside the folders this server may import from").At("body.source")
}

// place splits a location into its kind, file or s3, and a clean path; for s3 that begins with the bucket.
func place(location string) (kind, at string, ok bool) {
	if !utf8.ValidString(location) || strings.ContainsRune(location, 0) {
		return "", "", false
	}
	if !strings.Contains(location, "://") {
		return "file", filepath.Clean(location), filepath.IsAbs(location)
	}
	u, err := url.Parse(location)
	if err != nil || u.User != nil || u.Fragment != "" {
		return "", "", false
	}
	switch {
	case u.Scheme == "file" && u.Host == "" && u.RawQuery == "" && filepath.IsAbs(u.Path):
		return "file", filepath.Clean(u.Path), true
	case u.Scheme == "s3" && u.Host != "":
		// A root may have its folder in the parameter prefix, as the file store's URL has.
		return "s3", path.Join(u.Host, path.Clean("/"+u.Path), path.Clean("/"+u.Query().Get("prefix"))), true
	}
	return "", "", false
}

func beneath(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// resolved follows links, as far as there is something to follow.
func resolved(p string) string {
	if target, err := filepath.EvalSymlinks(p); err == nil {
		return target
	}
	return p
}

package folder

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
)

// Reachable reports whether any user of the machine may pass through every folder of path. It errs on the side of no:
// access lists and group rights count for nothing.
func Reachable(path string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		if info.IsDir() && info.Mode().Perm()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(path)
		if parent == path {
			return true
		}
		path = parent
	}
}

// Temp returns the system's folder for temporary files or, for root, one that others can reach into.
func Temp() string {
	if temp := os.TempDir(); os.Geteuid() != 0 || Reachable(temp) {
		return temp
	}
	return "/tmp"
}

// Keyed returns a path in Temp that is always the same for the same path and differs for others: the place for what
// path itself cannot hold.
func Keyed(prefix, path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(Temp(), prefix+hex.EncodeToString(sum[:4]))
}

//go:build unix && !linux

package folder

// Memory returns a folder that lives in memory and has room for that many bytes, or Temp where there is none, as here.
func Memory(uint64) string { return Temp() }

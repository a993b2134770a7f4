// Package segment packs the NDJSON lines of one member, one resource type and one release class so that an export file is
// made by concatenation.
//
// A segment is a raw DEFLATE run (RFC 1951) that starts from a fresh window, holds no final block and ends with a sync
// flush. Such runs are byte-aligned and self-contained: any of them, in any order, put one after another between [Header]
// and [Trailer] are one ordinary single-member gzip file (RFC 1952). Nothing is inflated on the way; only the checksums
// are combined ([Sum.Add]). A segment travels with its Sum and with an index of its lines ([Line]), by which [Packer.Select]
// takes some lines out without parsing JSON.
//
// The package is pure: it reads no clock, no disk and no database, does not look inside a line, and does not decide which
// lines belong together or may be released. Several gzip members in one file are never made, because many HTTP clients
// stop after the first.
package segment

import "errors"

// MaxRawLen is the raw length, in bytes, at which whoever groups lines starts another segment. It is a target, not a limit
// of the format: a line that is longer by itself is a segment by itself.
const MaxRawLen = 1 << 20

// ErrCorrupt is in the chain of every error that says stored bytes are not what was once written: a broken run, a length or
// checksum that does not match, an index that does not fit its segment. Trying again does not help.
var ErrCorrupt = errors.New("corrupt segment")

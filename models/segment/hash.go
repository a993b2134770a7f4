package segment

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Hash returns the 64-bit xxHash of a line, with or without its newline. It tells a changed resource from one sent again
// as it was; it is no protection against someone who makes collisions on purpose.
func Hash(line []byte) uint64 { return xxhash.Sum64(bytes.TrimSuffix(line, newline)) }

// IDHash returns the 64-bit xxHash of "type/id". It finds a resource in a packed column; the id itself settles whether it
// is the one.
func IDHash(resourceType, id string) uint64 {
	var b [128]byte
	ref := append(b[:0], resourceType...)
	ref = append(ref, '/')
	return xxhash.Sum64(append(ref, id...))
}

// HashLen is the length in bytes of one hash in a packed column.
const HashLen = 8

// AppendHashes appends hashes to a packed column: eight bytes each, little endian.
func AppendHashes(column []byte, hashes ...uint64) []byte {
	for _, h := range hashes {
		column = binary.LittleEndian.AppendUint64(column, h)
	}
	return column
}

// HashSet looks for any of a set of hashes in packed columns. It does not change once made and may be shared.
type HashSet struct {
	slots []uint64 // open addressing, at most half full; 0 is an empty slot
	mask  uint64
	zero  bool // whether 0 is in the set
	size  int
}

// NewHashSet returns the set of the given hashes.
func NewHashSet(hashes []uint64) *HashSet {
	n := 1 << bits.Len(uint(max(2*len(hashes), 8)-1))
	s := &HashSet{slots: make([]uint64, n), mask: uint64(n - 1)}
	for _, h := range hashes {
		if !s.Has(h) {
			s.add(h)
		}
	}
	return s
}

func (s *HashSet) add(h uint64) {
	s.size++
	if h == 0 {
		s.zero = true
		return
	}
	i := h & s.mask
	for s.slots[i] != 0 {
		i = (i + 1) & s.mask
	}
	s.slots[i] = h
}

// Len is how many different hashes the set has.
func (s *HashSet) Len() int { return s.size }

// Has reports whether h is in the set.
func (s *HashSet) Has(h uint64) bool {
	if h == 0 {
		return s.zero
	}
	for i := h & s.mask; ; i = (i + 1) & s.mask {
		switch s.slots[i] {
		case h:
			return true
		case 0:
			return false
		}
	}
}

// In yields the position (0 for the first line) and value of every hash of a packed column that is in the set. Bytes that
// do not make a whole hash are not looked at.
func (s *HashSet) In(column []byte) iter.Seq2[int, uint64] {
	return func(yield func(int, uint64) bool) {
		if s.size == 0 {
			return
		}
		for line := 0; len(column) >= HashLen; line, column = line+1, column[HashLen:] {
			if h := binary.LittleEndian.Uint64(column); s.Has(h) && !yield(line, h) {
				return
			}
		}
	}
}

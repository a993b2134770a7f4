package spill

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/klauspost/compress/s2"
)

// maxBody guards against a damaged run; no line of an import is longer.
const maxBody = 1 << 30

// Merge yields the lines of the sources, each one bucket of a run, ordered by member, resource type and resource, and the
// lines of one resource by file and line. The order depends on the lines alone. The Record and its bytes are valid only
// during the call. It stops at the first error, its own or fn's.
func Merge(sources []io.Reader, fn func(*Record) error) error {
	var h cursors
	for _, src := range sources {
		c := &cursor{r: bufio.NewReaderSize(s2.NewReader(src, s2.ReaderMaxBlockSize(blockSize)), blockSize)}
		ok, err := c.next()
		if err != nil {
			return err
		}
		if ok {
			h = append(h, c)
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		c := h[0]
		if err := fn(&c.rec); err != nil {
			return err
		}
		ok, err := c.next()
		if err != nil {
			return err
		}
		if ok {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	return nil
}

type cursor struct {
	r    *bufio.Reader
	head [fixed]byte
	tail []byte
	rec  Record
	key  ref
}

func (c *cursor) next() (bool, error) {
	if _, err := io.ReadFull(c.r, c.head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, fmt.Errorf("read run: %w", err)
	}
	b := c.head[:]
	idLen, patientLen, bodyLen := int(b[fixed-6]), int(b[fixed-5]), int(binary.LittleEndian.Uint32(b[fixed-4:]))
	if bodyLen > maxBody {
		return false, errors.New("run is damaged")
	}
	if n := idLen + patientLen + bodyLen; cap(c.tail) < n {
		c.tail = make([]byte, n)
	} else {
		c.tail = c.tail[:n]
	}
	if _, err := io.ReadFull(c.r, c.tail); err != nil {
		return false, fmt.Errorf("read run: %w", err)
	}
	c.rec = Record{
		Member:       uuid.UUID(b[:16]),
		Type:         int16(binary.LittleEndian.Uint16(b[16:])),
		Class:        int16(binary.LittleEndian.Uint16(b[18:])),
		Flags:        binary.LittleEndian.Uint16(b[20:]),
		Updated:      int64(binary.LittleEndian.Uint64(b[22:])),
		StampAt:      int32(binary.LittleEndian.Uint32(b[30:])),
		Version:      int32(binary.LittleEndian.Uint32(b[34:])),
		ServiceStart: int32(binary.LittleEndian.Uint32(b[38:])),
		ServiceEnd:   int32(binary.LittleEndian.Uint32(b[42:])),
		File:         int32(binary.LittleEndian.Uint32(b[46:])),
		Line:         int64(binary.LittleEndian.Uint64(b[50:])),
		Hash:         binary.LittleEndian.Uint64(b[58:]),
		ID:           c.tail[:idLen],
		Patient:      c.tail[idLen : idLen+patientLen],
		Body:         c.tail[idLen+patientLen:],
	}
	c.key = refTo(&c.rec, 0)
	return true, nil
}

type cursors []*cursor

func (h cursors) Len() int           { return len(h) }
func (h cursors) Less(i, j int) bool { return compare(&h[i].key, &h[j].key) < 0 }
func (h cursors) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)        { *h = append(*h, x.(*cursor)) }
func (h *cursors) Pop() any {
	old := *h
	c := old[len(old)-1]
	*h = old[:len(old)-1]
	return c
}

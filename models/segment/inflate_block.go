package segment

import "encoding/binary"

// What one turn of the fast loop may need: eight bytes of input, and of output two literals, the longest match and the
// bytes that copying by eights writes beyond it.
const (
	fastIn  = 16
	fastOut = 2 + 258 + 16
)

// block decodes the symbols of a compressed block into out[n:] and returns where it ends.
func (d *inflater) block(out []byte, n int) (int, error) {
	for {
		var done bool
		var err error
		if n, done, err = d.fast(out, n); done || err != nil {
			return n, err
		}
		// Near an end of either buffer: one symbol at a time, each step checked.
		if n, done, err = d.careful(out, n); done || err != nil {
			return n, err
		}
	}
}

// fast decodes symbols as long as both buffers have room to spare. It keeps the state of the reader in local variables,
// which is what makes it fast.
func (d *inflater) fast(out []byte, n int) (_ int, done bool, _ error) {
	src, in, bits, have := d.src, d.in, d.bits, d.have
	lastIn, lastOut := len(src)-fastIn, len(out)-fastOut
	literals, distances := &d.literals, &d.distances
	for in <= lastIn && n <= lastOut {
		bits |= binary.LittleEndian.Uint64(src[in:]) << (have & 63)
		in += int((63 - have) >> 3)
		have |= 56

		// At least 56 bits: two literals of at most 15 and the code of what follows fit.
		e := literals[bits&(1<<literalBits-1)]
		if e&isLiteral != 0 {
			bits >>= e & 31
			have -= uint(e & 31)
			out[n] = byte(e >> 16)
			n++
			e = literals[bits&(1<<literalBits-1)]
			if e&isLiteral != 0 {
				bits >>= e & 31
				have -= uint(e & 31)
				out[n] = byte(e >> 16)
				n++
				e = literals[bits&(1<<literalBits-1)]
			}
		}
		if e&isNested != 0 {
			bits >>= e & 31
			have -= uint(e & 31)
			e = literals[(uint64(e>>16)+bits&(1<<(e>>8&15)-1))&(literalRoom-1)]
		}
		if e&isLiteral != 0 {
			bits >>= e & 31
			have -= uint(e & 31)
			out[n] = byte(e >> 16)
			n++
			continue
		}
		if e&isEnd != 0 {
			bits >>= e & 31
			have -= uint(e & 31)
			d.in, d.bits, d.have = in, bits, have
			return n, true, nil
		}
		if e == 0 {
			return n, false, errSymbol
		}
		length := int(e>>16) + int(bits&(1<<(e&31)-1)>>(e>>8&15))
		bits >>= e & 31
		have -= uint(e & 31)

		// A distance takes up to 28 bits.
		if have < 28 {
			bits |= binary.LittleEndian.Uint64(src[in:]) << (have & 63)
			in += int((63 - have) >> 3)
			have |= 56
		}
		e = distances[bits&(1<<distanceBits-1)]
		if e&isNested != 0 {
			bits >>= e & 31
			have -= uint(e & 31)
			e = distances[(uint64(e>>16)+bits&(1<<(e>>8&15)-1))&(distanceRoom-1)]
		}
		if e == 0 {
			return n, false, errSymbol
		}
		distance := int(e>>16) + int(bits&(1<<(e&31)-1)>>(e>>8&15))
		bits >>= e & 31
		have -= uint(e & 31)
		if distance > n {
			return n, false, errDistance
		}

		from, to := n-distance, n
		n += length
		switch {
		case distance >= length && length > 32:
			copy(out[to:n], out[from:])
		case distance >= 8:
			// Up to seven bytes too many are written; what comes next overwrites them.
			for {
				binary.LittleEndian.PutUint64(out[to:], binary.LittleEndian.Uint64(out[from:]))
				to += 8
				if to >= n {
					break
				}
				from += 8
			}
		default:
			for ; to < n; to, from = to+1, from+1 {
				out[to] = out[from]
			}
		}
	}
	d.in, d.bits, d.have = in, bits, have
	return n, false, nil
}

// careful decodes one symbol.
func (d *inflater) careful(out []byte, n int) (_ int, done bool, _ error) {
	d.refill()
	e := d.symbol(d.literals[:], literalBits)
	if e == 0 {
		return n, false, errSymbol
	}
	if e&isEnd != 0 {
		d.take(uint(e & 31))
		if d.overrun() {
			return n, false, errEndless
		}
		return n, true, nil
	}
	if e&isLiteral != 0 {
		d.take(uint(e & 31))
		if d.overrun() {
			return n, false, errEndless
		}
		if n == len(out) {
			return n, false, errOverflowed
		}
		out[n] = byte(e >> 16)
		return n + 1, false, nil
	}
	length := d.value(e)
	if e = d.symbol(d.distances[:], distanceBits); e == 0 {
		return n, false, errSymbol
	}
	distance := d.value(e)
	switch {
	case d.overrun():
		return n, false, errEndless
	case distance > n:
		return n, false, errDistance
	case length > len(out)-n:
		return n, false, errOverflowed
	}
	for range length {
		out[n] = out[n-distance]
		n++
	}
	return n, false, nil
}

// symbol looks up the entry of the next code; it uses the bits of a first table that leads to a second, no others.
func (d *inflater) symbol(table []uint32, root uint) uint32 {
	e := table[d.bits&(1<<root-1)]
	if e&isNested == 0 {
		return e
	}
	d.take(uint(e & 31))
	return table[uint64(e>>16)+d.bits&(1<<(e>>8&15)-1)]
}

// value uses the bits of a length or distance and returns it.
func (d *inflater) value(e uint32) int {
	v := int(e>>16) + int(d.bits&(1<<(e&31)-1)>>(e>>8&15))
	d.take(uint(e & 31))
	return v
}

package segment

const hexDigits = "0123456789abcdef"

// parseUUID reads a UUID in canonical lower-case form, the only one that can be told again from its 16 bytes.
func parseUUID(id string) (u [16]byte, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return u, false
	}
	at := 0
	for i := range u {
		if at == 8 || at == 13 || at == 18 || at == 23 {
			at++
		}
		h, l := hexValues[id[at]], hexValues[id[at+1]]
		if h|l > 15 {
			return u, false
		}
		u[i] = h<<4 | l
		at += 2
	}
	return u, true
}

// hexValues is the value of a lower-case hexadecimal digit, 255 for any other byte.
var hexValues = func() (t [256]uint8) {
	for i := range t {
		t[i] = 255
	}
	for v, c := range []byte(hexDigits) {
		t[c] = uint8(v)
	}
	return t
}()

// appendUUID is the reverse of parseUUID.
func appendUUID(b []byte, u []byte) []byte {
	for i, v := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, hexDigits[v>>4], hexDigits[v&15])
	}
	return b
}

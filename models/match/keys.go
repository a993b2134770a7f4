package match

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"pdexbulk/models"
)

// maxKeys bounds the blocking keys of one person, however many names and addresses they are known by.
const maxKeys = 64

// Keys returns the blocking keys of a person, sorted: hashes of what two records of one person have in common even when a
// field or two are wrong. A member is a candidate if it has a key in common with the one who is asked for. Each key joins
// enough facts that few members share it, whatever the size of the roster, except in crowds of people who share an address,
// a telephone or a number.
func (p *Person) Keys() []int64 {
	k := keyring{}
	if p.BirthDate != nil {
		born := civilOf(*p.BirthDate)
		low, high := min(born.month, born.day), max(born.month, born.day)
		day := strconv.Itoa(born.year) + "." + strconv.Itoa(low) + "." + strconv.Itoa(high) // the same for day and month swapped
		families, givens := p.familySounds(), p.firstSounds()
		// Given and family names are not told apart here: they are often exchanged.
		for _, n := range appendAll(families, givens) {
			for _, sex := range p.sexes() {
				k.add("nd", n, day, sex)
			}
		}
		for _, a := range p.Addresses {
			if a.Zip != "" {
				k.add("zd", a.Zip, day)
				// Both names and the place, where the birth date may be wrong.
				for _, f := range families {
					for _, g := range givens {
						k.add("nnz", min(f, g), max(f, g), a.Zip)
					}
				}
			}
		}
	}
	for _, id := range p.IDs {
		switch id.Kind {
		case models.CardSSN:
			k.add("ssn", id.Value)
		default:
			k.add("id", id.Value)
		}
	}
	for _, s := range p.Phones {
		k.add("tel", s)
	}
	for _, s := range p.Emails {
		k.add("mail", s)
	}
	slices.Sort(k.keys)
	return slices.Compact(k.keys)
}

type keyring struct{ keys []int64 }

func (k *keyring) add(parts ...string) {
	if len(k.keys) >= maxKeys {
		return
	}
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	var sum [8]byte
	k.keys = append(k.keys, int64(binary.BigEndian.Uint64(h.Sum(sum[:0]))))
}

// sexes are those the person may have.
func (p *Person) sexes() []string {
	switch p.Gender {
	case "male", "female":
		return []string{p.Gender}
	}
	return []string{"female", "male"}
}

// familySounds returns how the family names sound, whole and, for compound ones, each part.
func (p *Person) familySounds() []string {
	var out []string
	for _, f := range p.Families {
		out = appendNew(out, sound(solid(f)))
		if strings.Contains(f, " ") {
			for part := range strings.FieldsSeq(f) {
				if len(part) > 2 {
					out = appendNew(out, sound(part))
				}
			}
		}
	}
	return out
}

// firstSounds returns how the first given name of each name sounds.
func (p *Person) firstSounds() []string {
	var out []string
	for _, g := range p.Givens {
		out = appendNew(out, sound(FirstGiven(g)))
	}
	return out
}

func appendAll(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		out = appendNew(out, s)
	}
	return out
}

package seed

import (
	"math/bits"
	"math/rand/v2"
)

// domain keeps the random streams of different things apart, so that adding a draw to one leaves the others as they were.
type domain uint64

const (
	domainShape domain = iota + 1
	domainHousehold
	domainMember
	domainMarket
	domainID
	domainRequest
	domainSubmission
	domainWalk
	domainTrial
)

// rng draws from a PCG keyed by what it is about, never by the order of the calls before it. All arithmetic is on
// integers: floating point may be fused on some platforms and would change the bytes.
type rng struct{ pcg rand.PCG }

func newRNG(seed uint64, d domain, key uint64) rng {
	return rng{pcg: *rand.NewPCG(mix(seed^mix(uint64(d))), mix(key+uint64(d)<<56))}
}

// mix is the finaliser of SplitMix64: a bijection whose every output bit depends on every input bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// n returns a number in [0, n). n must be positive.
func (r *rng) n(n int) int {
	hi, _ := bits.Mul64(r.pcg.Uint64(), uint64(n))
	return int(hi)
}

// between returns a number in [lo, hi].
func (r *rng) between(lo, hi int) int { return lo + r.n(hi-lo+1) }

// chance is true permille times in a thousand.
func (r *rng) chance(permille int) bool { return r.n(1000) < permille }

// pick draws one of list, each as likely as the other.
func pick[T any](r *rng, list []T) T { return list[r.n(len(list))] }

// lean draws one of list, those at the front more often, as common names are.
func lean[T any](r *rng, list []T) T { return list[min(r.n(len(list)), r.n(len(list)))] }

// identity names one thing of the generated world; ids and links are derived from it, so any part can be made alone.
type identity struct{ seed, key uint64 }

const hexDigits = "0123456789abcdef"

// id returns the logical id of the n-th resource of a type about this thing, in the form of a UUID. It reveals nothing.
func (i identity) id(t Type, n int) string {
	a := mix(i.seed ^ mix(uint64(domainID)<<32|uint64(t)<<24|uint64(n)))
	hi, lo := mix(a^i.key), mix(a+mix(i.key))
	hi = hi&^0xf000 | 0x8000
	lo = lo&^(0xc<<60) | 0x8<<60
	var b [36]byte
	at := 0
	for k := range 32 {
		if k == 8 || k == 12 || k == 16 || k == 20 {
			b[at] = '-'
			at++
		}
		word := hi
		if k >= 16 {
			word = lo
		}
		b[at] = hexDigits[word>>(60-4*(k%16))&0xf]
		at++
	}
	return string(b[:])
}

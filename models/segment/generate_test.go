package segment_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"pgregory.net/rapid"
)

var vitals = [...][3]string{
	{"8302-2", "Body Height", "cm"},
	{"29463-7", "Body Weight", "kg"},
	{"39156-5", "Body Mass Index", "kg/m2"},
	{"8867-4", "Heart rate", "/min"},
	{"2093-3", "Total Cholesterol", "mg/dL"},
}

// observations returns n lines that look like what payers hold: one member's Observations, much alike but for ids, codes,
// values and times.
func observations(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1)) // reproducible on purpose
	member := uuidFrom(r)
	var b bytes.Buffer
	for range n {
		v := vitals[r.IntN(len(vitals))]
		fmt.Fprintf(&b, `{"resourceType":"Observation","id":"%s","status":"final","category":[{"coding":[{"system":`+
			`"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs","display":"vital-signs"}]}],`+
			`"code":{"coding":[{"system":"http://loinc.org","code":"%s","display":"%s"}],"text":"%s"},"subject":{"reference":`+
			`"Patient/%s"},"encounter":{"reference":"Encounter/%s"},"effectiveDateTime":"%04d-%02d-%02dT%02d:%02d:%02dZ",`+
			`"valueQuantity":{"value":%.4f,"unit":"%s","system":"http://unitsofmeasure.org","code":"%s"}}`+"\n",
			uuidFrom(r), v[0], v[1], v[1], member, uuidFrom(r), 2010+r.IntN(15), 1+r.IntN(12), 1+r.IntN(28), r.IntN(24),
			r.IntN(60), r.IntN(60), r.Float64()*200, v[2], v[2])
	}
	return b.Bytes()
}

func uuidFrom(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>50, b&0xffffffffffff)
}

// lineGen makes lines: likely ones, empty ones, ones of arbitrary bytes and long ones that do not compress.
func lineGen() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			return []byte("\n")
		case 1:
			b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
			return append(bytes.ReplaceAll(b, []byte("\n"), nil), '\n')
		case 2:
			n := rapid.IntRange(1, 150_000).Draw(t, "len")
			b := make([]byte, n)
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2)) // reproducible on purpose
			for i := range b {
				b[i] = byte(' ' + r.IntN(90))
			}
			return append(b, '\n')
		default:
			return observations(rapid.Uint64Range(0, 50).Draw(t, "seed"), 1)
		}
	})
}

// groupsGen makes the lines of some segments.
func groupsGen() *rapid.Generator[[][][]byte] {
	return rapid.SliceOfN(rapid.SliceOfN(lineGen(), 0, 12), 0, 6)
}

package match

import (
	"strconv"
	"strings"

	"pdexbulk/models"
)

// The marks that part a record. None of them is in a normalised value.
const (
	fieldMark = "\x1e"
	itemMark  = "\x1f"
	partMark  = "\x1d"
)

// plainText takes the marks out of text that is kept as it came.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, s)
}

// Record returns the person as the member index keeps it. ParseRecord reads it back.
func (p *Person) Record() []byte {
	b := make([]byte, 0, 256)
	list := func(items []string) {
		for i, s := range items {
			if i > 0 {
				b = append(b, itemMark...)
			}
			b = append(b, s...)
		}
		b = append(b, fieldMark...)
	}
	list(p.Families)
	list(p.Givens)
	b = append(append(b, p.Suffix...), fieldMark...)
	if p.BirthDate != nil {
		b = strconv.AppendInt(b, int64(*p.BirthDate), 10)
	}
	b = append(append(append(b, fieldMark...), p.Gender...), fieldMark...)
	if p.Multiple {
		b = strconv.AppendInt(b, int64(p.BirthOrder), 10)
	}
	b = append(b, fieldMark...)
	for i, a := range p.Addresses {
		if i > 0 {
			b = append(b, itemMark...)
		}
		b = append(b, strings.Join([]string{a.Number, a.Street, a.Place, a.Zip}, partMark)...)
	}
	b = append(b, fieldMark...)
	list(p.Phones)
	list(p.Emails)
	for i, id := range p.IDs {
		if i > 0 {
			b = append(b, itemMark...)
		}
		b = append(strconv.AppendInt(b, int64(id.Kind), 10), id.Value...)
	}
	b = append(b, fieldMark...)
	list(p.Groups)
	list(p.Payers)
	for i, s := range p.Periods {
		if i > 0 {
			b = append(b, itemMark...)
		}
		b = strconv.AppendInt(b, int64(s.From), 10)
		b = strconv.AppendInt(append(b, partMark...), int64(s.To), 10)
	}
	return b
}

const recordFields = 13

// ParseRecord reads what Record has written. The error is a models.Error of KindInternal without content.
func ParseRecord(record []byte) (Person, error) {
	var p Person
	var f [recordFields]string
	rest := string(record)
	for i := range recordFields - 1 {
		var ok bool
		if f[i], rest, ok = strings.Cut(rest, fieldMark); !ok {
			return p, damagedRecord()
		}
	}
	f[recordFields-1] = rest
	p.Families, p.Givens, p.Suffix, p.Gender = items(f[0]), items(f[1]), f[2], f[4]
	if f[3] != "" {
		day, err := strconv.ParseInt(f[3], 10, 32)
		if err != nil {
			return p, damagedRecord()
		}
		p.BirthDate = new(int32(day))
	}
	if f[5] != "" {
		order, err := strconv.Atoi(f[5])
		if err != nil {
			return p, damagedRecord()
		}
		p.Multiple, p.BirthOrder = true, order
	}
	for s := range each(f[6]) {
		parts := strings.SplitN(s, partMark, 5)
		if len(parts) != 4 {
			return p, damagedRecord()
		}
		p.Addresses = append(p.Addresses, Address{parts[0], parts[1], parts[2], parts[3]})
	}
	p.Phones, p.Emails = items(f[7]), items(f[8])
	for s := range each(f[9]) {
		if s == "" || s[0] < '1' || s[0] > '9' {
			return p, damagedRecord()
		}
		p.IDs = append(p.IDs, ID{models.CardKind(s[0] - '0'), s[1:]})
	}
	p.Groups, p.Payers = items(f[10]), items(f[11])
	for s := range each(f[12]) {
		from, to, _ := strings.Cut(s, partMark)
		lo, err := strconv.ParseInt(from, 10, 32)
		if err != nil {
			return p, damagedRecord()
		}
		hi, err := strconv.ParseInt(to, 10, 32)
		if err != nil {
			return p, damagedRecord()
		}
		p.Periods = append(p.Periods, Span{int32(lo), int32(hi)})
	}
	return p, nil
}

func damagedRecord() error {
	return models.Errorf(models.KindInternal, "a record of the member index cannot be read")
}

func items(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, itemMark)
}

func each(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if s != "" {
			strings.SplitSeq(s, itemMark)(yield)
		}
	}
}

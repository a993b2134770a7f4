package models

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidNPI(t *testing.T) {
	t.Parallel()
	for npi, want := range map[string]bool{
		"1234567893":  true, // the example of the NPI check digit specification
		"1234567890":  false,
		"1234567983":  false, // neighbours swapped
		"0234567895":  false,
		"3234567891":  false,
		"123456789":   false,
		"12345678933": false,
		"123456789a":  false,
		"１２３":         false,
		"":            false,
	} {
		require.Equal(t, want, ValidNPI(npi), npi)
	}
}

// Of the ten numbers that differ in the last digit alone, exactly one is an NPI.
func TestOneCheckDigit(t *testing.T) {
	t.Parallel()
	for n := 100_000_000; n < 300_000_000; n += 7_654_321 {
		valid := 0
		for d := range 10 {
			if ValidNPI(strconv.Itoa(n*10 + d)) {
				valid++
			}
		}
		require.Equal(t, 1, valid, n)
	}
}

func TestProviderValidate(t *testing.T) {
	t.Parallel()
	good := func() Provider {
		return Provider{NPI: "1234567893", Kind: ProviderIndividual, Taxonomies: []string{"207Q00000X"}, Organizations: []string{"1234567893"}}
	}
	require.NoError(t, good().Validate())
	for where, spoil := range map[string]func(*Provider){
		"npi":           func(p *Provider) { p.NPI = "1234567890" },
		"kind":          func(p *Provider) { p.Kind = "" },
		"taxonomies":    func(p *Provider) { p.Taxonomies = []string{"207q00000X"} },
		"organizations": func(p *Provider) { p.Organizations = []string{"x"} },
	} {
		p := good()
		spoil(&p)
		err := p.Validate()
		require.Equal(t, KindInvalid, KindOf(err), where)
		require.ErrorContains(t, err, where+":")
	}
}

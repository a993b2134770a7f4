package match

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	const (
		member     = models.CardMemberID
		subscriber = models.CardSubscriber
		mbi        = models.CardMBI
		social     = models.CardSSN
		other      = models.CardOther
	)
	for name, tc := range map[string]struct {
		kind models.CardKind
		in   string
		want []ID
	}{
		"plain":                      {member, "DH10001235", []ID{{member, "DH10001235"}}},
		"case and punctuation":       {member, " dh-1000.1235 ", []ID{{member, "DH10001235"}}},
		"leading zeros":              {subscriber, "000123456", []ID{{subscriber, "123456"}}},
		"full width digits":          {subscriber, "１２３４５６", []ID{{subscriber, "123456"}}},
		"dependant set off":          {member, "W1234567-02", []ID{{member, "W123456702"}, {subscriber, "W1234567"}}},
		"dependant after a space":    {member, "W1234567 001", []ID{{member, "W1234567001"}, {subscriber, "W1234567"}}},
		"dependant of a subscriber":  {subscriber, "w1234567/1", []ID{{subscriber, "W12345671"}, {subscriber, "W1234567"}}},
		"run together":               {member, "88800933501", []ID{{member, "88800933501"}}},
		"in groups":                  {member, "888-009-335", []ID{{member, "888009335"}}},
		"in two groups":              {member, "888009-335", []ID{{member, "888009335"}}},
		"too little before the dash": {member, "12345-01", []ID{{member, "1234501"}}},
		"placeholder before it":      {member, "999999999-01", []ID{{member, "99999999901"}}},
		"nines":                      {member, "999999999", nil},
		"zeros":                      {subscriber, "000-00-0000", nil},
		"counting":                   {member, "123456789", nil},
		"counting down":              {member, "987-65-4321", nil},
		"unknown":                    {member, "Unknown", nil},
		"n/a":                        {member, "N/A", nil},
		"x":                          {other, "XXXXXXXX", nil},
		"too short":                  {member, "0012", nil},
		"too long":                   {other, strings.Repeat("A1", 33), nil},
		"empty":                      {member, "", nil},
		"punctuation":                {member, "--", nil},
		"medicare":                   {mbi, "1eg4-te5-mk73", []ID{{mbi, "1EG4TE5MK73"}}},
		"not medicare":               {mbi, "123-45-6780A", []ID{{other, "123456780A"}}},
		"social":                     {social, "219-45-6789", []ID{{social, "219456789"}}},
		"social that lost its zeros": {social, "1456789", []ID{{social, "001456789"}}},
		"masked social":              {social, "***-**-6789", nil},
		"masked with letters":        {social, "XXX-XX-6789", nil},
		"never issued":               {social, "000-12-3456", nil},
		"never issued either":        {social, "666-12-3456", nil},
		"no group":                   {social, "219-00-6789", nil},
		"no serial":                  {social, "219-45-0000", nil},
		"from an advertisement":      {social, "078-05-1120", nil},
		"repeated social":            {social, "888-88-8888", nil},
		"no kind":                    {0, "DH10001235", nil},
		"other":                      {other, "a3d1-77", []ID{{other, "A3D177"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, IDs(tc.kind, tc.in))
		})
	}
}

func FuzzIDs(f *testing.F) {
	for _, s := range []string{"W1234567-02", "000123456", "1EG4-TE5-MK73", "219-45-6789", "999999999", "Unknown", "\xff", "１２３"} {
		for kind := range int16(7) {
			f.Add(kind, s)
		}
	}
	f.Fuzz(func(t *testing.T, kind int16, s string) {
		for _, id := range IDs(models.CardKind(kind), s) {
			require.Equal(t, []ID{id}, IDs(id.Kind, id.Value), "a form is its own only form")
			require.Regexp(t, `^[A-Z0-9]{3,64}$`, id.Value)
			require.Equal(t, []ID{id}, IDs(id.Kind, strings.ToLower(" "+id.Value)), "case and space do not matter")
		}
	})
}

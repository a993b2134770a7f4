package fhir

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The expressions of https://hl7.org/fhir/R4/datatypes.html.
const (
	yearExpr = `([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)`
	timeExpr = `T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))`
	dayExpr  = `(0[1-9]|[1-2][0-9]|3[0-1])`
)

var (
	dateExpr     = regexp.MustCompile(`^` + yearExpr + `(-(0[1-9]|1[0-2])(-` + dayExpr + `)?)?$`)
	dateTimeExpr = regexp.MustCompile(`^` + yearExpr + `(-(0[1-9]|1[0-2])(-` + dayExpr + `(` + timeExpr + `)?)?)?$`)
	instantExpr  = regexp.MustCompile(`^` + yearExpr + `-(0[1-9]|1[0-2])-` + dayExpr + timeExpr + `$`)
)

func TestParseDate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in          string
		first, last string // "" when it is no date
		precision   Precision
	}{
		{"2020", "2020-01-01", "2020-12-31", PrecisionYear},
		{"0001", "0001-01-01", "0001-12-31", PrecisionYear},
		{"9999", "9999-01-01", "9999-12-31", PrecisionYear},
		{"2020-02", "2020-02-01", "2020-02-29", PrecisionMonth},
		{"2019-02", "2019-02-01", "2019-02-28", PrecisionMonth},
		{"1900-02", "1900-02-01", "1900-02-28", PrecisionMonth},
		{"2000-02", "2000-02-01", "2000-02-29", PrecisionMonth},
		{"2020-04", "2020-04-01", "2020-04-30", PrecisionMonth},
		{"2020-12", "2020-12-01", "2020-12-31", PrecisionMonth},
		{"2020-02-29", "2020-02-29", "2020-02-29", PrecisionDay},
		{"1969-12-31", "1969-12-31", "1969-12-31", PrecisionDay},
		{"2019-02-29", "", "", 0},
		{"1900-02-29", "", "", 0},
		{"2020-04-31", "", "", 0},
		{"0000", "", "", 0},
		{"20", "", "", 0},
		{"20200", "", "", 0},
		{"2020-", "", "", 0},
		{"2020-1", "", "", 0},
		{"2020-00", "", "", 0},
		{"2020-13", "", "", 0},
		{"2020-01-00", "", "", 0},
		{"2020-01-32", "", "", 0},
		{"2020/01/01", "", "", 0},
		{"2020-01-01Z", "", "", 0},
		{" 2020", "", "", 0},
		{"-2020", "", "", 0},
		{"", "", "", 0},
		{"２０２０", "", "", 0},
		{"2020-01-01T00:00:00Z", "", "", 0},
	} {
		d, err := ParseDate(c.in)
		if c.first == "" {
			require.ErrorIs(t, err, ErrDate, c.in)
			continue
		}
		require.NoError(t, err, c.in)
		require.Equal(t, c.first, FormatDay(d.First), c.in)
		require.Equal(t, c.last, FormatDay(d.Last), c.in)
		require.Equal(t, c.precision, d.Precision, c.in)
		from, to := d.Range()
		require.Equal(t, c.first+"T00:00:00.000Z", FormatInstant(from), c.in)
		require.Equal(t, c.last+"T23:59:59.999Z", FormatInstant(to-1), c.in)
	}
}

func TestParseInstant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"2020-01-02T03:04:05Z", "2020-01-02T03:04:05.000Z"},
		{"2020-01-02T03:04:05.6Z", "2020-01-02T03:04:05.600Z"},
		{"2020-10-30T09:48:01.8462752-04:00", "2020-10-30T13:48:01.846Z"},
		{"2020-01-01T00:00:00+14:00", "2019-12-31T10:00:00.000Z"},
		{"2020-01-01T00:00:00-13:59", "2020-01-01T13:59:00.000Z"},
		{"2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"},
		{"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
		{"2020-01-01T00:00:00-00:00", "2020-01-01T00:00:00.000Z"},
		{"2020-01-01T00:00:00." + strings.Repeat("9", 500) + "Z", "2020-01-01T00:00:00.999Z"},
		{"2020-01-01T00:00:00", ""},
		{"2020-01-01T00:00Z", ""},
		{"2020-01-01T24:00:00Z", ""},
		{"2020-01-01T00:60:00Z", ""},
		{"2020-01-01T00:00:61Z", ""},
		{"2020-01-01T00:00:00.Z", ""},
		{"2020-01-01T00:00:00,5Z", ""},
		{"2020-01-01T00:00:00+14:01", ""},
		{"2020-01-01T00:00:00+15:00", ""},
		{"2020-01-01T00:00:00+01:60", ""},
		{"2020-01-01T00:00:00+0100", ""},
		{"2020-01-01T00:00:00 01:00", ""},
		{"2020-01-01t00:00:00z", ""},
		{"2020-01-01 00:00:00Z", ""},
		{"2020-02-30T00:00:00Z", ""},
		{"2020-01-01T00:00:00ZZ", ""},
		{"2020-01-01", ""},
		{"", ""},
	} {
		at, err := ParseInstant(c.in)
		if c.want == "" {
			require.ErrorIs(t, err, ErrInstant, c.in)
			continue
		}
		require.NoError(t, err, c.in)
		require.Equal(t, c.want, FormatInstant(at.UnixMilli()), c.in)
		require.Equal(t, time.UTC, at.Location())
	}
}

func TestDateTimeRange(t *testing.T) {
	t.Parallel()
	d, err := ParseDateTime("2020-05-04T23:30:00-05:00")
	require.NoError(t, err)
	require.Equal(t, "2020-05-04", FormatDay(d.First), "the day that was written, not the UTC day")
	from, to := d.Range()
	require.Equal(t, "2020-05-05T04:30:00.000Z", FormatInstant(from))
	require.Equal(t, int64(1000), to-from)
	d, err = ParseDateTime("2020-05-04T23:30:00.5Z")
	require.NoError(t, err)
	from, to = d.Range()
	require.Equal(t, int64(1), to-from)
	require.Equal(t, from, d.Time().UnixMilli())
	_, err = ParseDateTime("2020-05-04T23:30")
	require.ErrorIs(t, err, ErrDate)
}

func TestDayBounds(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0001-01-01", FormatDay(MinDay))
	require.Equal(t, "9999-12-31", FormatDay(MaxDay))
	require.Equal(t, Day(-1), DayOf(time.UnixMilli(-1)))
	require.Equal(t, Day(0), DayOf(time.UnixMilli(0)))
	require.Equal(t, Day(-1), DayOf(time.UnixMilli(-dayMillis)))
}

func TestDaysAgreeWithTimePackage(t *testing.T) {
	t.Parallel()
	for d := MinDay; d <= MaxDay; d += 13 {
		at := time.Unix(int64(d)*86400, 0).UTC()
		year, month, day := at.Date()
		require.Equal(t, d, civilDay(year, int(month), day))
	}
}

func TestFormattedInstantReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		millis := rapid.Int64Range(int64(MinDay)*dayMillis, (int64(MaxDay)+1)*dayMillis-1).Draw(t, "millis")
		text := FormatInstant(millis)
		at, err := ParseInstant(text)
		require.NoError(t, err, text)
		require.Equal(t, millis, at.UnixMilli(), text)
	})
}

func FuzzParseInstant(f *testing.F) {
	for _, seed := range []string{"2020-01-02T03:04:05.678Z", "2016-12-31T23:59:60+14:00", "2020-02-29T00:00:00-05:00", "2019-02-29T00:00:00Z", "2020"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseInstant(s)
		if err == nil {
			require.Regexp(t, instantExpr, s)
		}
		want, stdErr := time.Parse(time.RFC3339Nano, s)
		switch {
		case strings.Contains(s, ":60"): // the time package has no leap seconds
		case instantExpr.MatchString(s) && stdErr == nil:
			require.NoError(t, err)
			require.Equal(t, want.UnixMilli(), at.UnixMilli())
		default:
			require.Error(t, err)
		}
	})
}

func FuzzParseDate(f *testing.F) {
	for _, seed := range []string{"2020", "2020-02", "2020-02-29", "2019-02-29", "2020-02-29T00:00:00Z", "0000-01-01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDate(s)
		if err == nil {
			require.Regexp(t, dateExpr, s)
			require.LessOrEqual(t, d.First, d.Last)
			require.True(t, strings.HasPrefix(FormatDay(d.First), s))
			require.True(t, strings.HasPrefix(FormatDay(d.Last), s))
			require.False(t, strings.HasPrefix(FormatDay(d.First-1), s))
			require.False(t, strings.HasPrefix(FormatDay(d.Last+1), s))
		}
		first, last, ok := oracleSpan(s)
		if len(s) <= 10 {
			require.Equal(t, ok && dateExpr.MatchString(s), err == nil)
		}
		if err == nil {
			require.Equal(t, DayOf(first), d.First)
			require.Equal(t, DayOf(last), d.Last)
		}
		_, err = ParseDateTime(s)
		if err == nil {
			require.Regexp(t, dateTimeExpr, s)
		}
	})
}
